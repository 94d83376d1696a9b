#include "kvstore/server/gate.h"

#include <array>
#include <charconv>
#include <chrono>

#include "base/sha256.h"
#include "kvstore/errors.h"
#include "kvstore/node.h"
#include "kvstore/server/jwt.h"
#include "kvstore/server/password.h"

namespace kvstore {

namespace {

// Each takes tens of ms.
constexpr std::size_t kMaxWaiting = 256;
constexpr std::size_t kMaxVerified = 4096;

std::int64_t unix_seconds() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// The entry that made a simple token known.
std::optional<std::uint64_t> index_of(std::string_view token) {
    const auto dot = token.rfind('.');
    if (dot == token.npos) return std::nullopt;
    std::uint64_t out = 0;
    const char* end = token.data() + token.size();
    const auto [at, error] = std::from_chars(token.data() + dot + 1, end, out);
    if (error != std::errc() || at != end) return std::nullopt;
    return out;
}

}  // namespace

Gate::Gate(base::Loop& loop, Node& node, std::shared_ptr<const Jwt> jwt)
    : loop_(loop),
      node_(node),
      jwt_(std::move(jwt)),
      alive_(std::make_shared<bool>(true)),
      pool_("store-auth", 1) {}

Gate::~Gate() {
    *alive_ = false;
}

bool Gate::enabled() const {
    return node_.machine().auth().enabled();
}

void Gate::make_simple_token(const std::string& user, std::uint64_t auth_revision, Token made) {
    std::string secret = random_hex(16);
    Command command;
    auto* grant = command.mutable_auth_token();
    grant->set_user(user);
    grant->set_token_sha256(base::sha256(secret));
    grant->set_checked_revision(auth_revision);
    auto granted = [this, alive = alive_, s = std::move(secret),
                    m = std::move(made)](base::Result<etcdserverpb::AuthEnableResponse> r) mutable {
        if (!*alive) return m(errors::stopped());
        if (!r) return m(r.error());
        // The secret, of which members keep the hash, and an index of at least the entry's own: a
        // member that stands there knows the token.
        m(s + "." + std::to_string(node_.replica().committed_index().value()));
    };
    node_.auth_change(std::move(command), std::move(granted), Caller());
}

void Gate::with_credential(Caller caller, Resolved resolved) {
    if (caller.user.empty() || !caller.credential.empty() || node_.replica().is_leader())
        return resolved(std::move(caller));
    if (jwt_) {
        auto token = jwt_->sign(caller.user, caller.auth_revision, unix_seconds());
        if (!token) return resolved(token.error());
        caller.credential = std::move(*token);
        return resolved(std::move(caller));
    }
    const std::string user = caller.user;
    const std::uint64_t revision = caller.auth_revision;
    make_simple_token(
        user, revision,
        [c = std::move(caller), r = std::move(resolved)](base::Result<std::string> token) mutable {
            if (!token) return r(token.error());
            c.credential = std::move(*token);
            r(std::move(c));
        });
}

base::Result<Caller> Gate::by_simple_token(std::string_view token) {
    const auto dot = token.rfind('.');
    auto& machine = node_.machine();
    const auto user = machine.tokens().use(base::sha256(token.substr(0, dot)), machine.now_ms());
    if (!user) return errors::invalid_auth_token();
    Caller caller = Caller::named(*user, machine.auth().revision());
    caller.credential = token;
    return caller;
}

base::Result<Caller> Gate::by_jwt(std::string_view token) {
    const std::int64_t now = unix_seconds();
    if (auto known = verified_.find(token); known != verified_.end()) {
        if (known->second.expires > now) return known->second.caller;
        verified_.erase(known);
    }
    const auto claims = jwt_->verify(token, now);
    if (!claims) return errors::invalid_auth_token();
    // One from a revision that this member has not reached yet is as good as the newest.
    if (verified_.size() >= kMaxVerified) verified_.clear();
    Caller caller = Caller::named(claims->user, claims->auth_revision);
    caller.credential = token;
    verified_.insert_or_assign(std::string(token), Verified{caller, claims->expires});
    return caller;
}

void Gate::resolve_enabled(std::string_view token, const net::PeerIdentity* peer,
                           Resolved resolved) {
    // Browsers and proxies write a scheme in front.
    if (token.starts_with("Bearer ")) token.remove_prefix(7);
    if (token.empty()) {
        if (peer == nullptr || !peer->verified || peer->common_name.empty())
            return resolved(Caller::nobody());
        return resolved(Caller::named(peer->common_name, node_.machine().auth().revision()));
    }
    if (jwt_) return resolved(by_jwt(token));
    auto caller = by_simple_token(token);
    const auto index = index_of(token);
    if (caller || !index || *index <= node_.machine().applied().index.value())
        return resolved(std::move(caller));
    node_.auth_read([this, alive = alive_, t = std::string(token),
                     r = std::move(resolved)](base::Status ready) mutable {
        if (!*alive) return r(errors::stopped());
        if (!ready) return r(ready.error());
        r(by_simple_token(t));
    });
}

base::Task<Caller> Gate::caller(std::shared_ptr<net::GrpcStream> stream) {
    auto start = [this, stream](Resolved resolved) { resolve(*stream, std::move(resolved)); };
    co_return co_await base::suspend<base::Result<Caller>>(std::move(start));
}

bool Gate::for_administrators(std::string_view path) {
    static constexpr std::array<std::string_view, 9> kPaths = {
        "/etcdserverpb.Cluster/MemberAdd",      "/etcdserverpb.Cluster/MemberPromote",
        "/etcdserverpb.Cluster/MemberRemove",   "/etcdserverpb.Cluster/MemberUpdate",
        "/etcdserverpb.Maintenance/Defragment", "/etcdserverpb.Maintenance/Hash",
        "/etcdserverpb.Maintenance/HashKV",     "/etcdserverpb.Maintenance/Snapshot",
        "/coxswainpb.Members/Change",
    };
    return std::find(kPaths.begin(), kPaths.end(), path) != kPaths.end();
}

base::Status Gate::may_call(std::string_view path, const Caller& caller) const {
    if (!enabled() || !for_administrators(path)) return {};
    return node_.machine().auth().may_administrate(caller);
}

base::Status Gate::in_background(base::UniqueFunction<void()> work,
                                 base::UniqueFunction<void()> then) {
    if (waiting_ >= kMaxWaiting) return errors::too_many_requests();
    ++waiting_;
    pool_.submit(
        [this, &loop = loop_, alive = alive_, w = std::move(work), t = std::move(then)]() mutable {
            w();
            loop.post([this, alive = std::move(alive), f = std::move(t)]() mutable {
                if (!*alive) return;
                --waiting_;
                f();
            });
        });
    return {};
}

}  // namespace kvstore
