// Node: what Cluster asks for, and leadership.

#include <algorithm>

#include "base/random.h"
#include "kvstore/core/member_checks.h"
#include "kvstore/node_calls.h"
#include "kvstore/proto/members.pb.h"
#include "raft/core/core.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

void fill_member(const Member& member, pb::Member* out) {
    out->set_id(member.id.value());
    out->set_name(member.name);
    for (const auto& url : member.peer_urls)
        out->add_peerurls(url);
    for (const auto& url : member.client_urls)
        out->add_clienturls(url);
    out->set_islearner(member.learner);
}

}  // namespace

std::optional<Member> Node::leader_member() const {
    for (auto& member : replica_.members())
        if (member.id == replica_.leader() && member.id != replica_.id()) return member;
    return std::nullopt;
}

void Node::move_leader(std::uint64_t target, Done<pb::MoveLeaderResponse> done) {
    if (!replica_.is_leader()) return done(errors::not_leader());
    const auto members = replica_.members();
    const auto it = std::find_if(members.begin(), members.end(), [&](const auto& m) {
        return m.id.value() == target && !m.learner;
    });
    if (it == members.end()) return done(errors::bad_leader_transferee());
    replica_.transfer_leadership(raft::NodeId(target),
                                 [this, d = std::move(done)](base::Status moved) mutable {
                                     if (!moved) return d(moved.error());
                                     pb::MoveLeaderResponse response;
                                     fill_header(response.mutable_header());
                                     d(std::move(response));
                                 });
}

void Node::member_list(bool linearizable, Done<pb::MemberListResponse> done) {
    auto list = [this]() {
        pb::MemberListResponse response;
        fill_header(response.mutable_header());
        for (const auto& member : replica_.members())
            fill_member(member, response.add_members());
        return response;
    };
    if (!linearizable) return done(list());
    after_read_index([list, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        d(list());
    });
}

template <class T>
void Node::change_members(const std::vector<MembershipChange>& changes, Done<T> done) {
    replica_.change_membership(
        changes, [this, d = std::move(done)](base::Result<std::vector<Member>> members) mutable {
            if (!members) return d(members.error());
            T response;
            fill_header(response.mutable_header());
            for (const auto& member : *members)
                fill_member(member, response.add_members());
            d(std::move(response));
        });
}

bool Node::voters_are_alive() const {
    for (const auto& [id, progress] : replica_.core().progress()) {
        const bool votes = replica_.core().config().is_voter(id);
        if (votes && id != replica_.id() && !progress.alive()) return false;
    }
    return true;
}

void Node::member_add(pb::MemberAddRequest request, Done<pb::MemberAddResponse> done,
                      Caller caller) {
    const auto members = replica_.members();
    const std::vector<std::string> urls(request.peerurls().begin(), request.peerurls().end());
    if (auto bad = check_peer_urls(members, raft::kNobody, urls); !bad) return done(bad.error());
    if (!replica_.is_leader())
        return ask_leader<pb::MemberAddResponse>(options_, leader_member(),
                                                 "/etcdserverpb.Cluster/MemberAdd", request,
                                                 std::move(done), caller);
    auto checked = request.islearner() ? check_add_learner(members, options_.max_learners)
                                       : check_add_voter(members);
    if (!checked) return done(checked.error());
    if (!request.islearner() && !voters_are_alive()) return done(errors::unhealthy());
    MembershipChange change;
    change.kind = request.islearner() ? MembershipChange::Kind::kAddLearner
                                      : MembershipChange::Kind::kAddVoter;
    while (change.member.id == raft::kNobody)
        change.member.id = raft::NodeId(base::entropy64());
    change.member.peer_urls = urls;
    change.member.learner = request.islearner();
    const auto id = change.member.id.value();
    change_members<pb::MemberAddResponse>(
        {std::move(change)},
        [id, d = std::move(done)](base::Result<pb::MemberAddResponse> response) mutable {
            if (response)
                for (const auto& member : response->members())
                    if (member.id() == id) *response->mutable_member() = member;
            d(std::move(response));
        });
}

void Node::member_remove(pb::MemberRemoveRequest request, Done<pb::MemberRemoveResponse> done,
                         Caller caller) {
    if (!replica_.is_leader())
        return ask_leader<pb::MemberRemoveResponse>(options_, leader_member(),
                                                    "/etcdserverpb.Cluster/MemberRemove", request,
                                                    std::move(done), caller);
    MembershipChange change;
    change.kind = MembershipChange::Kind::kRemove;
    change.member.id = raft::NodeId(request.id());
    if (auto bad = check_remove(replica_.members(), change.member.id); !bad)
        return done(bad.error());
    change_members<pb::MemberRemoveResponse>({std::move(change)}, std::move(done));
}

void Node::member_update(pb::MemberUpdateRequest request, Done<pb::MemberUpdateResponse> done,
                         Caller caller) {
    const auto members = replica_.members();
    const raft::NodeId id(request.id());
    const std::vector<std::string> urls(request.peerurls().begin(), request.peerurls().end());
    if (auto bad = check_peer_urls(members, id, urls); !bad) return done(bad.error());
    if (!replica_.is_leader())
        return ask_leader<pb::MemberUpdateResponse>(options_, leader_member(),
                                                    "/etcdserverpb.Cluster/MemberUpdate", request,
                                                    std::move(done), caller);
    MembershipChange change;
    for (const auto& member : members)
        if (member.id == id) change.member = member;
    if (change.member.id != id) return done(errors::member_not_found());
    change.member.peer_urls = urls;
    change_members<pb::MemberUpdateResponse>({std::move(change)}, std::move(done));
}

void Node::member_promote(pb::MemberPromoteRequest request, Done<pb::MemberPromoteResponse> done,
                          Caller caller) {
    if (!replica_.is_leader())
        return ask_leader<pb::MemberPromoteResponse>(options_, leader_member(),
                                                     "/etcdserverpb.Cluster/MemberPromote", request,
                                                     std::move(done), caller);
    MembershipChange change;
    change.kind = MembershipChange::Kind::kPromote;
    change.member.id = raft::NodeId(request.id());
    if (auto bad = check_promote(replica_.members(), change.member.id); !bad)
        return done(bad.error());
    change_members<pb::MemberPromoteResponse>({std::move(change)}, std::move(done));
}

void Node::members_change(coxswainpb::MembersChangeRequest request,
                          Done<coxswainpb::MembersChangeResponse> done, Caller caller) {
    if (!replica_.is_leader())
        return ask_leader<coxswainpb::MembersChangeResponse>(options_, leader_member(),
                                                             "/coxswainpb.Members/Change", request,
                                                             std::move(done), caller);
    std::vector<MembershipChange> changes;
    const auto add = [&changes](MembershipChange::Kind kind, std::uint64_t id) {
        MembershipChange change;
        change.kind = kind;
        change.member.id = raft::NodeId(id);
        changes.push_back(std::move(change));
    };
    for (const auto id : request.promote())
        add(MembershipChange::Kind::kPromote, id);
    for (const auto id : request.remove())
        add(MembershipChange::Kind::kRemove, id);
    if (auto bad = check_change(replica_.members(), changes); !bad) return done(bad.error());
    change_members<coxswainpb::MembersChangeResponse>(changes, std::move(done));
}

}  // namespace kvstore
