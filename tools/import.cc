#include "tools/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <thread>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/server/password.h"

namespace tools {

namespace pb = etcdserverpb;
using kvstore::schema::KeyInterval;

namespace {

constexpr std::int64_t kFirstPage = 256;
constexpr std::int64_t kMaxPage = 10'000;
constexpr std::size_t kPageBytes = 1 << 20;
constexpr std::size_t kTxnBytes = 512 << 10;
constexpr std::size_t kInFlight = 8;
constexpr base::Millis kPause{250};
// How long a store that has answered before may be without a leader, or a connection.
constexpr std::chrono::seconds kPatience{30};

std::size_t size_of(const mvccpb::KeyValue& kv) {
    return kv.key().size() + kv.value().size();
}

// Pages through a range in key order, all of it at the revision of the first page.
class Pages {
  public:
    Pages(StoreSession& session, const std::string& prefix)
        : session_(session),
          key_(prefix.empty() ? std::string(1, '\0') : prefix),
          end_(kvstore::schema::prefix_end(prefix)) {}

    base::Result<std::vector<mvccpb::KeyValue>> next() {
        std::vector<mvccpb::KeyValue> out;
        if (done_) return out;
        TRY(auto page, ask());
        revision_ = revision_ == 0 ? page.header().revision() : revision_;
        done_ = !page.more() || page.kvs().empty();
        std::size_t bytes = 0;
        for (auto& kv : *page.mutable_kvs()) {
            bytes += size_of(kv);
            out.push_back(std::move(kv));
        }
        if (out.empty()) return out;
        key_ = out.back().key() + '\0';
        const auto each = static_cast<std::int64_t>(bytes / out.size()) + 1;
        limit_ = std::clamp<std::int64_t>(kPageBytes / each, 1, kMaxPage);
        return out;
    }
    std::int64_t revision() const { return revision_; }

  private:
    base::Result<pb::RangeResponse> ask() {
        pb::RangeRequest request;
        request.set_key(key_);
        request.set_range_end(end_);
        request.set_revision(revision_);
        const auto until = std::chrono::steady_clock::now() + kPatience;
        for (;;) {
            request.set_limit(limit_);
            auto page = session_.call<pb::RangeResponse>("/etcdserverpb.KV/Range", request);
            const bool late = revision_ == 0 || std::chrono::steady_clock::now() > until;
            if (page) return page;
            if (page.error().code == base::Code::kResourceExhausted && limit_ > 1)
                limit_ = std::max<std::int64_t>(limit_ / 8, 1);
            else if (!late && (page.error().code == base::Code::kUnavailable ||
                               page.error().code == base::Code::kDeadlineExceeded))
                std::this_thread::sleep_for(kPause);
            else
                return page;
        }
    }

    StoreSession& session_;
    std::string key_;
    std::string end_;
    std::int64_t limit_ = kFirstPage;
    std::int64_t revision_ = 0;
    bool done_ = false;
};

class ApiSource final : public ImportSource {
  public:
    ApiSource(StoreSession& session, const std::string& prefix)
        : session_(session), pages_(session, prefix) {}

    base::Result<std::vector<mvccpb::KeyValue>> next() override {
        auto page = pages_.next();
        if (!page && page.error().code == base::Code::kOutOfRange)
            return page.error().with_context(fmt::format(
                "the source compacted revision {} while it was read", pages_.revision()));
        return page;
    }
    std::int64_t revision() const override { return pages_.revision(); }

    base::Result<std::vector<std::int64_t>> leases() override {
        TRY(auto list, session_.call<pb::LeaseLeasesResponse>("/etcdserverpb.Lease/LeaseLeases",
                                                              pb::LeaseLeasesRequest()));
        std::vector<std::int64_t> out;
        for (const auto& lease : list.leases())
            out.push_back(lease.id());
        return out;
    }
    base::Result<std::int64_t> lease_ttl(std::int64_t id) override {
        pb::LeaseTimeToLiveRequest request;
        request.set_id(id);
        auto left = session_.call<pb::LeaseTimeToLiveResponse>(
            "/etcdserverpb.Lease/LeaseTimeToLive", request);
        if (left) return left->ttl();
        if (left.error().code == base::Code::kNotFound) return std::int64_t{0};
        return left.error();
    }

    base::Result<Accounts> accounts() override {
        Accounts out;
        TRY(const auto roles, session_.call<pb::AuthRoleListResponse>("/etcdserverpb.Auth/RoleList",
                                                                      pb::AuthRoleListRequest()));
        for (const auto& name : roles.roles()) {
            pb::AuthRoleGetRequest request;
            request.set_role(name);
            TRY(auto role,
                session_.call<pb::AuthRoleGetResponse>("/etcdserverpb.Auth/RoleGet", request));
            out.roles.emplace_back().set_name(name);
            // What the role root may do anyway is told as well, with no key.
            for (auto& perm : *role.mutable_perm())
                if (!perm.key().empty()) *out.roles.back().add_keypermission() = std::move(perm);
        }
        TRY(const auto users, session_.call<pb::AuthUserListResponse>("/etcdserverpb.Auth/UserList",
                                                                      pb::AuthUserListRequest()));
        for (const auto& name : users.users()) {
            pb::AuthUserGetRequest request;
            request.set_name(name);
            TRY(auto user,
                session_.call<pb::AuthUserGetResponse>("/etcdserverpb.Auth/UserGet", request));
            out.users.emplace_back().set_name(name);
            *out.users.back().mutable_roles() = std::move(*user.mutable_roles());
        }
        return out;
    }

  private:
    StoreSession& session_;
    Pages pages_;
};

// What is written and read back is compared by this. Keys with a lease may go at any time.
class Checksum {
  public:
    void add(const mvccpb::KeyValue& kv) {
        if (kv.lease() != 0) return;
        ++count_;
        std::string head;
        base::append_varint(&head, kv.key().size());
        base::append_varint(&head, kv.value().size());
        crc_ = base::crc32c(kv.value(), base::crc32c(kv.key(), base::crc32c(head, crc_)));
    }
    std::int64_t count() const { return count_; }
    friend bool operator==(const Checksum&, const Checksum&) = default;

  private:
    std::int64_t count_ = 0;
    std::uint32_t crc_ = 0;
};

class Import {
  public:
    Import(ImportSource& source, StoreSession& target, const ImportOptions& options,
           const std::function<void(const ImportCounts&)>& progress)
        : source_(source), target_(target), options_(options), progress_(progress) {}

    base::Result<ImportCounts> run() {
        TRY(const std::int64_t there, count_there());
        if (there > 0 && !options_.force)
            return base::Error(base::Code::kFailedPrecondition,
                               fmt::format("the target has {} keys there already; --force writes "
                                           "over those that the source has, too",
                                           there));
        // Before anything is written: what may not be read is told now.
        Accounts accounts;
        if (options_.users) {
            TRY(accounts, source_.accounts());
            TRY_VOID(check_accounts_there());
        }
        for (;;) {
            TRY(auto page, source_.next());
            if (page.empty()) break;
            TRY_VOID(write(std::move(page)));
            counts_.revision = source_.revision();
            progress_(counts_);
        }
        while (!in_flight_.empty())
            TRY_VOID(finish_oldest());
        counts_.revision = source_.revision();
        if (options_.prefix.empty()) TRY_VOID(bare_leases());
        TRY_VOID(verify(there == 0));
        TRY_VOID(copy(accounts));
        return counts_;
    }

  private:
    struct Write {
        pb::TxnRequest txn;
        StoreSession::Answer answer;
    };

    base::Result<std::int64_t> count_there() {
        pb::RangeRequest request;
        request.set_key(options_.prefix.empty() ? std::string(1, '\0') : options_.prefix);
        request.set_range_end(kvstore::schema::prefix_end(options_.prefix));
        request.set_count_only(true);
        TRY(auto response, target_.call<pb::RangeResponse>("/etcdserverpb.KV/Range", request));
        return response.count();
    }

    base::Status write(std::vector<mvccpb::KeyValue> page) {
        pb::TxnRequest txn;
        std::size_t bytes = 0;
        for (auto& kv : page) {
            if (kv.lease() != 0) {
                TRY(const bool lives, have_lease(kv.lease()));
                if (!lives) {
                    ++counts_.expired;
                    continue;
                }
            }
            if (txn.success_size() == options_.ops_per_txn ||
                (bytes > 0 && bytes + size_of(kv) > kTxnBytes)) {
                TRY_VOID(send(std::exchange(txn, {})));
                bytes = 0;
            }
            written_.add(kv);
            bytes += size_of(kv);
            ++counts_.keys;
            counts_.bytes += static_cast<std::int64_t>(size_of(kv));
            auto* put = txn.add_success()->mutable_request_put();
            put->set_lease(kv.lease());
            put->set_allocated_key(kv.release_key());
            put->set_allocated_value(kv.release_value());
        }
        return txn.success_size() > 0 ? send(std::move(txn)) : base::Status();
    }

    base::Status send(pb::TxnRequest txn) {
        if (in_flight_.size() >= kInFlight) TRY_VOID(finish_oldest());
        Write write{std::move(txn), {}};
        write.answer = begin(write.txn);
        in_flight_.push_back(std::move(write));
        return {};
    }
    StoreSession::Answer begin(const pb::TxnRequest& txn) {
        return target_.begin("/etcdserverpb.KV/Txn", txn.SerializeAsString());
    }

    // A put may be repeated: nobody else is to write these keys now.
    base::Status finish_oldest() {
        Write write = std::move(in_flight_.front());
        in_flight_.pop_front();
        const auto until = std::chrono::steady_clock::now() + kPatience;
        for (;;) {
            auto done = StoreSession::read<pb::TxnResponse>(std::move(write.answer));
            if (done) return {};
            if (done.error().message == "etcdserver: requested lease not found")
                TRY_VOID(lease_again(&write.txn));
            else if (done.error().code != base::Code::kUnavailable &&
                     done.error().code != base::Code::kDeadlineExceeded)
                return done.error().with_context("write into the target");
            if (std::chrono::steady_clock::now() > until)
                return done.error().with_context("write into the target");
            std::this_thread::sleep_for(kPause);
            write.answer = begin(write.txn);
        }
    }

    // It ended in the target before its keys came; in the source it may have been renewed.
    base::Status lease_again(pb::TxnRequest* txn) {
        pb::TxnRequest left;
        for (auto& op : *txn->mutable_success()) {
            if (const std::int64_t id = op.request_put().lease(); id != 0) {
                if (granted_.erase(id) > 0) --counts_.leases;
                TRY(const bool lives, have_lease(id));
                if (!lives) {
                    ++counts_.expired;
                    --counts_.keys;
                    continue;
                }
            }
            *left.add_success() = std::move(op);
        }
        *txn = std::move(left);
        return {};
    }

    // Grants a lease of the source's in the target, with what is left of it; false when nothing is.
    base::Result<bool> have_lease(std::int64_t id) {
        if (const auto known = granted_.find(id); known != granted_.end()) return known->second;
        TRY(const std::int64_t ttl, source_.lease_ttl(id));
        granted_[id] = ttl > 0;
        if (ttl <= 0) return false;
        pb::LeaseGrantRequest request;
        request.set_id(id);
        request.set_ttl(ttl);
        auto grant =
            target_.call<pb::LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant", request);
        const bool there = !grant && grant.error().message == "etcdserver: lease already exists";
        if (!grant && !there) return grant.error().with_context("grant a lease in the target");
        ++counts_.leases;
        return true;
    }

    base::Status bare_leases() {
        TRY(const auto all, source_.leases());
        for (const std::int64_t id : all)
            TRY_VOID(have_lease(id));
        return {};
    }

    base::Status check_accounts_there() {
        TRY(const auto users, target_.call<pb::AuthUserListResponse>("/etcdserverpb.Auth/UserList",
                                                                     pb::AuthUserListRequest()));
        TRY(const auto roles, target_.call<pb::AuthRoleListResponse>("/etcdserverpb.Auth/RoleList",
                                                                     pb::AuthRoleListRequest()));
        if (options_.force || users.users_size() + roles.roles_size() == 0) return {};
        return base::Error(
            base::Code::kFailedPrecondition,
            fmt::format("the target has {} users and {} roles already; --force adds the source's",
                        users.users_size(), roles.roles_size()));
    }

    base::Status copy(const Accounts& accounts) {
        for (const auto& role : accounts.roles) {
            pb::AuthRoleAddRequest add;
            add.set_name(role.name());
            TRY_VOID(change<pb::AuthRoleAddResponse>("RoleAdd", add,
                                                     "etcdserver: role name already exists"));
            for (const auto& permission : role.keypermission()) {
                // An old etcd has taken those for no keys.
                if (KeyInterval::of(permission.key(), permission.range_end()).empty()) continue;
                pb::AuthRoleGrantPermissionRequest grant;
                grant.set_name(role.name());
                *grant.mutable_perm() = permission;
                TRY_VOID(change<pb::AuthRoleGrantPermissionResponse>("RoleGrantPermission", grant));
            }
            ++counts_.roles;
        }
        for (const auto& user : accounts.users)
            TRY_VOID(copy(user));
        return {};
    }

    base::Status copy(const authpb::User& user) {
        pb::AuthUserAddRequest add;
        add.set_name(user.name());
        const bool no_password = user.options().no_password();
        const bool locked = user.password().empty() && !no_password;
        if (no_password)
            add.mutable_options()->set_no_password(true);
        else
            add.set_hashedpassword(locked ? kvstore::impossible_password() : user.password());
        // Who is there keeps the password that they have there.
        TRY_VOID(change<pb::AuthUserAddResponse>("UserAdd", add,
                                                 "etcdserver: user name already exists"));
        for (const auto& role : user.roles()) {
            pb::AuthUserGrantRoleRequest grant;
            grant.set_user(user.name());
            grant.set_role(role);
            TRY_VOID(change<pb::AuthUserGrantRoleResponse>("UserGrantRole", grant));
        }
        ++counts_.users;
        counts_.locked += locked ? 1 : 0;
        return {};
    }

    // `there`: what the target answers when it has that already, which is as good. May be repeated.
    template <class Response, class Request>
    base::Status change(const std::string& method, const Request& request,
                        std::string_view there = {}) {
        const auto until = std::chrono::steady_clock::now() + kPatience;
        for (;;) {
            auto done = target_.call<Response>(("/etcdserverpb.Auth/" + method).c_str(), request);
            if (done || (!there.empty() && done.error().message == there)) return {};
            const bool may_pass = done.error().code == base::Code::kUnavailable ||
                                  done.error().code == base::Code::kDeadlineExceeded;
            if (!may_pass || std::chrono::steady_clock::now() > until)
                return done.error().with_context(
                    fmt::format("{} in the target, of {}", method, name_in(request)));
            std::this_thread::sleep_for(kPause);
        }
    }
    template <class Request>
    static const std::string& name_in(const Request& request) {
        if constexpr (requires { request.user(); })
            return request.user();
        else
            return request.name();
    }

    base::Status verify(bool was_empty) {
        Checksum read;
        Pages pages(target_, options_.prefix);
        for (;;) {
            TRY(const auto page, pages.next());
            if (page.empty()) break;
            for (const auto& kv : page)
                read.add(kv);
        }
        const bool right = was_empty ? read == written_ : read.count() >= written_.count();
        if (right) return {};
        return base::data_loss(
            fmt::format("{} keys without a lease were written, {} stand in the target{}; does "
                        "somebody else write there?",
                        written_.count(), read.count(),
                        read.count() == written_.count() ? ", but not the same" : ""));
    }

    ImportSource& source_;
    StoreSession& target_;
    const ImportOptions& options_;
    const std::function<void(const ImportCounts&)>& progress_;
    std::deque<Write> in_flight_;
    std::map<std::int64_t, bool> granted_;  // false: it has ended
    Checksum written_;
    ImportCounts counts_;
};

}  // namespace

std::unique_ptr<ImportSource> make_api_source(StoreSession& session, std::string prefix) {
    return std::make_unique<ApiSource>(session, prefix);
}

base::Result<ImportCounts> run_import(ImportSource& source, StoreSession& target,
                                      const ImportOptions& options,
                                      const std::function<void(const ImportCounts&)>& progress) {
    return Import(source, target, options, progress).run();
}

}  // namespace tools
