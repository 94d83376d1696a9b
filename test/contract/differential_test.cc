// Random reads, writes, transactions, leases and watches: no difference to etcd.

#include <memory>

#include "test/contract/differential.h"

namespace contract {
// What is a server's own.
void clear_own(google::protobuf::Message* message) {
    const auto* reflection = message->GetReflection();
    std::vector<const google::protobuf::FieldDescriptor*> fields;
    reflection->ListFields(*message, &fields);
    for (const auto* field : fields) {
        if (field->cpp_type() != field->CPPTYPE_MESSAGE) continue;
        if (field->is_repeated()) {
            for (int i = 0; i < reflection->FieldSize(*message, field); ++i)
                clear_own(reflection->MutableRepeatedMessage(message, field, i));
            continue;
        }
        auto* inner = reflection->MutableMessage(message, field);
        if (auto* header = dynamic_cast<pb::ResponseHeader*>(inner)) {
            header->clear_cluster_id();
            header->clear_member_id();
            header->clear_raft_term();
        }
        clear_own(inner);
    }
}

void clear_special(pb::LeaseLeasesResponse* response) {
    auto* leases = response->mutable_leases();
    std::sort(leases->begin(), leases->end(),
              [](const auto& a, const auto& b) { return a.id() < b.id(); });
}
void clear_special(pb::LeaseTimeToLiveResponse* response) {
    std::sort(response->mutable_keys()->begin(), response->mutable_keys()->end());
    response->set_ttl(response->ttl() > 0 ? 1 : response->ttl());
}
void clear_special(pb::AuthRoleGetResponse* response) {
    std::sort(response->mutable_perm()->begin(), response->mutable_perm()->end(),
              [](const auto& a, const auto& b) {
                  return std::tie(a.key(), a.range_end()) < std::tie(b.key(), b.range_end());
              });
}

namespace {

class Differences : public RandomRequests {
  protected:
    // What the watches of one stream were told, in the order of their creation.
    struct Told {
        struct Watch {
            std::int64_t id = 0;
            std::int64_t newest = 0;
            bool ended = false;
            std::vector<std::pair<std::int64_t, std::string>> texts;  // with their revisions

            std::string up_to(std::int64_t revision) const {
                std::string out;
                for (const auto& [at, text] : texts)
                    if (at <= revision) out += text + "\n";
                return out;
            }
        };
        WatchStream stream;
        std::vector<Watch> watches;

        void read() {
            auto response = stream.next();
            clear_own(&response);
            response.mutable_header()->clear_revision();
            if (response.created()) watches.push_back({.id = response.watch_id()});
            const auto it = std::find_if(watches.rbegin(), watches.rend(), [&](const auto& w) {
                return w.id == response.watch_id();
            });
            if (it == watches.rend()) return;
            for (const auto& event : response.events()) {
                it->newest = event.kv().mod_revision();
                it->texts.emplace_back(it->newest, event.ShortDebugString());
            }
            // In how many pieces events come is the server's own.
            response.clear_events();
            response.clear_fragment();
            if (response.created() || response.canceled())
                it->texts.emplace_back(0, response.ShortDebugString());
            it->ended |= response.canceled();
        }
    };

    pb::WatchCreateRequest make_watch() {
        pb::WatchCreateRequest out;
        real_range(&out);
        if (dice_.chance(2, 3)) out.set_start_revision(std::max<std::int64_t>(some_revision(), 0));
        // A deletion at the compacted revision itself 3.4 does not deliver.
        if (out.start_revision() == compacted_) out.set_start_revision(0);
        out.set_prev_kv(often());
        if (dice_.chance(1, 4))
            out.add_filters(static_cast<pb::WatchCreateRequest::FilterType>(dice_.below(2)));
        out.set_fragment(seldom());
        return out;
    }

    // Watches that begin at all kinds of revisions, changes, and in the end for each a put and a
    // deletion, one of which it must see.
    void watch() {
        std::vector<pb::WatchCreateRequest> requests;
        for (auto n = dice_.below(6) + 1; n > 0; --n)
            requests.push_back(make_watch());
        std::unique_ptr<Told> told[2];
        for (int i = 0; i < 2; ++i) {
            use(servers_[i], tokens_[i]);
            told[i] = std::make_unique<Told>();
            for (std::size_t n = 0; n < requests.size(); ++n) {
                told[i]->stream.create(requests[n]);
                while (told[i]->watches.size() == n && !HasFailure())
                    told[i]->read();
            }
        }
        for (auto n = dice_.below(20); n > 0; --n)
            change();
        std::vector<std::int64_t> last;  // which each sees
        for (const auto& request : requests) {
            pb::PutRequest put;
            put.set_key(request.key());
            same<pb::PutResponse>("KV/Put", put);
            pb::DeleteRangeRequest erase;
            erase.set_key(request.key());
            same<pb::DeleteRangeResponse>("KV/DeleteRange", erase);
            const bool no_puts =
                request.filters_size() > 0 && request.filters(0) == pb::WatchCreateRequest::NOPUT;
            last.push_back(no_puts ? revision_ : revision_ - 1);
        }
        for (std::size_t n = 0; n < requests.size(); ++n) {
            for (auto& one : told)
                while (!one->watches[n].ended && one->watches[n].newest < last[n] && !HasFailure())
                    one->read();
            EXPECT_EQ(told[0]->watches[n].up_to(last[n]), told[1]->watches[n].up_to(last[n]))
                << "seed " << seed_ << ", Watch " << requests[n].ShortDebugString();
        }
    }
};

TEST_F(Differences, None) {
    for_each_seed([&](std::uint64_t seed) {
        start(seed);
        for (int i = 0; i < 60 && !HasFailure(); ++i) {
            if (dice_.chance(1, 40))
                compact();
            else if (dice_.chance(1, 3))
                same<pb::RangeResponse>("KV/Range", make_range());
            else
                change();
        }
        if (dice_.chance(1, 4) && !HasFailure()) watch();
    });
}

}  // namespace
}  // namespace contract
