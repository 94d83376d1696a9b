#pragma once
// The same random requests to two servers, both new: Coxswain (COXSWAIN_ENDPOINT) and a stock etcd
// (COXSWAIN_OTHER). Every answer has to be the same. COXSWAIN_SEEDS=FIRST:COUNT chooses; what
// differs is told with its seed, which also alone leads there. Where etcd is not right, or leaves
// open what happens, the requests steer around it, with a word on why.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "kvstore/mvcc/schema.h"
#include "test/contract/client.h"

namespace contract {

// Clears what is a server's own: ids and terms in headers.
void clear_own(google::protobuf::Message* message);

template <class Response>
void clear_special(Response*) {}
// In no promised order, and of a time that runs.
void clear_special(pb::LeaseLeasesResponse* response);
void clear_special(pb::LeaseTimeToLiveResponse* response);
void clear_special(pb::AuthRoleGetResponse* response);

class RandomRequests : public testing::Test {
  protected:
    // A new seed: keys and leases of its own.
    void start(std::uint64_t seed) {
        seed_ = seed;
        dice_ = base::Random(seed);
        prefix_ = "s" + std::to_string(seed) + "/";
        leases_.clear();
        for (int i = 0; i < 4; ++i)
            leases_.push_back(static_cast<std::int64_t>(seed * 10 + 1 + i));
    }

    // The answer when both servers give the same one.
    template <class Response, class Request>
    std::optional<Response> same(const std::string& path, const Request& request) {
        std::string texts[2];
        std::optional<Response> out;
        for (int i = 0; i < 2; ++i) {
            use(servers_[i], tokens_[i]);
            auto answer = call<Response>(path, request);
            if (!answer) {
                texts[i] = error_of(answer);
                continue;
            }
            clear_own(&*answer);
            clear_special(&*answer);
            texts[i] = answer->ShortDebugString();
            out = std::move(*answer);
        }
        EXPECT_EQ(texts[0], texts[1])
            << "seed " << seed_ << ", " << path << " " << request.ShortDebugString();
        if (out && out->header().revision() > revision_) revision_ = out->header().revision();
        return out;
    }

    static constexpr int kDepth = 2;  // of transactions within another

    bool often() { return dice_.chance(1, 2); }
    bool seldom() { return dice_.chance(1, 12); }
    template <class T>
    const T& one_of(const std::vector<T>& list) {
        return list[dice_.below(list.size())];
    }

    std::string key() {
        static const std::vector<std::string> names = {
            "",    "a",       std::string("a\0", 2), "aa", "ab", "b", "b\xff", "c", "c/1",
            "c/2", "\xff\xff"};
        if (dice_.chance(1, 60)) return "";
        return prefix_ + one_of(names);
    }

    template <class Request>
    void any_range(Request* request) {
        request->set_key(key());
        switch (dice_.below(10)) {
            case 0:
                request->set_range_end(key());
                break;
            case 1:
                request->set_range_end(request->key());
                break;
            case 2:
                request->set_range_end(std::string(1, '\0'));
                if (often()) request->set_key(std::string(1, '\0'));
                break;
            case 3:
            case 4:
                request->set_key(prefix_);
                [[fallthrough]];
            case 5:
                request->set_range_end(kvstore::schema::prefix_end(request->key()));
                break;
            default:
                break;
        }
    }

    // Not the interval of nothing, which other versions refuse, or look at with other eyes.
    template <class Request>
    void real_range(Request* request) {
        do
            any_range(request);
        while (request->key().empty() || (!request->range_end().empty() &&
                                          request->range_end() != std::string_view("\0", 1) &&
                                          request->range_end() <= request->key()));
    }

    template <class Request>
    void range(Request* request) {
        if (users_are_checked_)
            real_range(request);
        else
            any_range(request);
    }

    std::int64_t some_revision() {
        if (seldom()) return static_cast<std::int64_t>(dice_.below(3)) - 1;
        const auto back = static_cast<std::int64_t>(dice_.below(30));
        return std::max<std::int64_t>(revision_ + 1 - back, 1);
    }

    pb::RangeRequest make_range() {
        pb::RangeRequest out;
        range(&out);
        if (seldom()) out.set_limit(-1);
        if (dice_.chance(1, 3)) out.set_limit(static_cast<std::int64_t>(dice_.below(4)));
        if (dice_.chance(1, 4)) out.set_revision(some_revision());
        // Where keys tie, the order is the server's own from a dozen on.
        if (out.range_end() != std::string_view("\0", 1) && dice_.chance(1, 3)) {
            out.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(dice_.below(3)));
            out.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(dice_.below(5)));
            // Of a target without an order etcd sorts only what the limit leaves.
            if (out.sort_order() == pb::RangeRequest::NONE) out.clear_limit();
        }
        out.set_serializable(seldom());
        out.set_keys_only(seldom());
        out.set_count_only(seldom());
        if (seldom()) out.set_min_mod_revision(some_revision());
        if (seldom()) out.set_max_mod_revision(some_revision());
        if (seldom()) out.set_min_create_revision(some_revision());
        if (seldom()) out.set_max_create_revision(some_revision());
        return out;
    }

    pb::RangeRequest make_inner_range() {
        auto out = make_range();
        // There a negative one is not always the newest to etcd.
        if (out.revision() < 0) out.clear_revision();
        return out;
    }

    pb::PutRequest make_put() {
        pb::PutRequest out;
        out.set_key(key());
        if (!seldom())
            out.set_value(std::string(dice_.below(4), static_cast<char>('a' + dice_.below(26))));
        if (dice_.chance(1, 5)) out.set_lease(one_of(leases_));
        out.set_prev_kv(often());
        out.set_ignore_value(seldom());
        if (out.ignore_value() && often()) out.clear_value();
        out.set_ignore_lease(seldom());
        if (out.ignore_lease() && often()) out.clear_lease();
        return out;
    }

    pb::DeleteRangeRequest make_delete() {
        pb::DeleteRangeRequest out;
        range(&out);
        out.set_prev_kv(often());
        return out;
    }

    pb::Compare make_compare() {
        pb::RangeRequest interval;
        range(&interval);
        const auto target = static_cast<pb::Compare::CompareTarget>(dice_.below(5));
        const auto number = target == pb::Compare::LEASE ? (often() ? 0 : one_of(leases_))
                            : often()                    ? static_cast<std::int64_t>(dice_.below(3))
                                                         : some_revision();
        auto out = compare(interval.key(), target,
                           static_cast<pb::Compare::CompareResult>(dice_.below(4)), number);
        out.set_range_end(interval.range_end());
        if (target == pb::Compare::VALUE)
            out.set_value(std::string(dice_.below(3), static_cast<char>('a' + dice_.below(26))));
        if (seldom()) out.clear_target_union();
        return out;
    }

    pb::TxnRequest make_txn(int depth) {
        pb::TxnRequest out;
        for (auto n = dice_.below(3); n > 0; --n)
            *out.add_compare() = make_compare();
        auto fill = [&](auto* branch) {
            for (auto n = dice_.below(4); n > 0; --n) {
                auto* op = branch->Add();
                switch (dice_.below(depth > 0 ? 8 : 7)) {
                    case 0:
                    case 1:
                        *op->mutable_request_range() = make_inner_range();
                        break;
                    case 2:
                        // A deletion in a nested one and a put in one before it etcd lets pass.
                        if (depth < kDepth) {
                            *op->mutable_request_range() = make_inner_range();
                            break;
                        }
                        // "To the last key" is in nobody's way there, and a put that comes after
                        // it and wants an old value ends etcd's process.
                        do
                            *op->mutable_request_delete_range() = make_delete();
                        while (op->request_delete_range().range_end() == std::string_view("\0", 1));
                        break;
                    case 7:
                        *op->mutable_request_txn() = make_txn(depth - 1);
                        break;
                    default:
                        *op->mutable_request_put() = make_put();
                        break;
                }
            }
        };
        fill(out.mutable_success());
        fill(out.mutable_failure());
        return out;
    }

    void change_a_lease() {
        const std::int64_t id = one_of(leases_);
        switch (dice_.below(7)) {
            case 0: {
                pb::LeaseRevokeRequest request;
                request.set_id(id);
                same<pb::LeaseRevokeResponse>("Lease/LeaseRevoke", request);
                break;
            }
            case 1: {
                pb::LeaseTimeToLiveRequest request;
                request.set_id(id);
                request.set_keys(often() && !users_are_checked_);
                same<pb::LeaseTimeToLiveResponse>("Lease/LeaseTimeToLive", request);
                break;
            }
            case 2:
                same<pb::LeaseLeasesResponse>("Lease/LeaseLeases", pb::LeaseLeasesRequest());
                break;
            case 3:
                keep_alive(id);
                break;
            default: {
                pb::LeaseGrantRequest request;
                request.set_id(id);
                request.set_ttl(1000);
                if (seldom()) request.set_ttl(9'000'000'001);
                same<pb::LeaseGrantResponse>("Lease/LeaseGrant", request);
                break;
            }
        }
    }

    void keep_alive(std::int64_t id) {
        pb::LeaseKeepAliveRequest request;
        request.set_id(id);
        pb::LeaseKeepAliveResponse answers[2];
        for (int i = 0; i < 2; ++i) {
            use(servers_[i], tokens_[i]);
            Stream stream("/etcdserverpb.Lease/LeaseKeepAlive");
            stream.send(request);
            const auto bytes = stream.next();
            EXPECT_TRUE(bytes && answers[i].ParseFromString(*bytes));
            clear_own(&answers[i]);
        }
        EXPECT_EQ(answers[0].ShortDebugString(), answers[1].ShortDebugString())
            << "seed " << seed_ << ", LeaseKeepAlive of " << id;
    }

    void compact() {
        pb::CompactionRequest request;
        request.set_revision(some_revision());
        request.set_physical(often());
        if (same<pb::CompactionResponse>("KV/Compact", request)) compacted_ = request.revision();
    }

    void change() {
        switch (dice_.below(11)) {
            case 0:
                same<pb::DeleteRangeResponse>("KV/DeleteRange", make_delete());
                break;
            case 1:
            case 2:
                change_a_lease();
                break;
            case 3:
            case 4:
            case 5:
            case 6:
                same<pb::TxnResponse>("KV/Txn", make_txn(kDepth));
                break;
            default:
                same<pb::PutResponse>("KV/Put", make_put());
                break;
        }
    }

    std::uint64_t seed_ = 0;
    base::Random dice_{0};
    std::string prefix_;
    std::vector<std::int64_t> leases_;
    std::int64_t revision_ = 1;
    const std::string servers_[2] = {std::getenv("COXSWAIN_ENDPOINT"),
                                     std::getenv("COXSWAIN_OTHER")};
    std::int64_t compacted_ = 0;
    // Steers around what 3.4 does not look at then.
    bool users_are_checked_ = false;
    std::string tokens_[2];  // who asks; "": nobody
};

// Calls `run` with each seed that is asked for, until one fails.
template <class Run>
void for_each_seed(const Run& run) {
    const std::string seeds = std::getenv("COXSWAIN_SEEDS");
    const auto first = std::stoull(seeds);
    const auto count = std::stoull(seeds.substr(seeds.find(':') + 1));
    for (auto seed = first; seed < first + count && !testing::Test::HasFailure(); ++seed)
        run(seed);
}

}  // namespace contract
