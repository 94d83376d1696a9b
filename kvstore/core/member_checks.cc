#include "kvstore/core/member_checks.h"

#include <algorithm>
#include <charconv>

#include "kvstore/errors.h"

namespace kvstore {

namespace {

bool is_peer_url(std::string_view url) {
    const auto scheme = url.find("://");
    if (scheme == std::string_view::npos) return false;
    const auto name = url.substr(0, scheme);
    if (name != "http" && name != "https") return false;
    const auto address = url.substr(scheme + 3);
    const auto colon = address.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    const auto port = address.substr(colon + 1);
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    return error == std::errc() && end == port.data() + port.size() && number > 0 &&
           number < 65536 && address.find_first_of("/?# @") == std::string_view::npos;
}

bool started(const Member& m) {
    return !m.name.empty();
}

struct Voters {
    std::size_t all = 0;
    std::size_t started = 0;
    bool majority() const { return started >= all / 2 + 1; }
};

Voters voters(const std::vector<Member>& members, raft::NodeId without) {
    Voters out;
    for (const auto& m : members) {
        if (m.learner || m.id == without) continue;
        ++out.all;
        if (started(m)) ++out.started;
    }
    return out;
}

}  // namespace

base::Status check_peer_urls(const std::vector<Member>& members, raft::NodeId self,
                             const std::vector<std::string>& urls) {
    if (urls.empty() || !std::all_of(urls.begin(), urls.end(), is_peer_url))
        return errors::bad_member_urls();
    std::vector<std::string> sorted = urls;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
        return errors::bad_member_urls();
    for (const auto& m : members) {
        if (m.id == self) continue;
        for (const auto& url : m.peer_urls)
            if (std::binary_search(sorted.begin(), sorted.end(), url))
                return errors::peer_url_exists();
    }
    return {};
}

base::Status check_add_voter(const std::vector<Member>& members) {
    Voters after = voters(members, raft::kNobody);
    ++after.all;
    if (after.started == 1 && after.all == 2) return {};
    if (!after.majority()) return errors::not_enough_started();
    return {};
}

base::Status check_add_learner(const std::vector<Member>& members, int most) {
    const auto learners =
        std::count_if(members.begin(), members.end(), [](const Member& m) { return m.learner; });
    if (learners >= most) return errors::too_many_learners();
    return {};
}

base::Status check_remove(const std::vector<Member>& members, raft::NodeId id) {
    const auto it =
        std::find_if(members.begin(), members.end(), [id](const Member& m) { return m.id == id; });
    if (it == members.end()) return errors::member_not_found();
    if (it->learner) return {};
    const Voters after = voters(members, id);
    if (after.all == 0 || !after.majority()) return errors::not_enough_started();
    return {};
}

base::Status check_promote(const std::vector<Member>& members, raft::NodeId id) {
    const auto it =
        std::find_if(members.begin(), members.end(), [id](const Member& m) { return m.id == id; });
    if (it == members.end()) return errors::member_not_found();
    if (!it->learner) return {};  // the leader refuses it by its own text
    Voters after = voters(members, raft::kNobody);
    ++after.all;
    ++after.started;
    if (!after.majority()) return errors::not_enough_started();
    return {};
}

base::Status check_change(const std::vector<Member>& members,
                          const std::vector<MembershipChange>& changes) {
    if (changes.empty()) return base::invalid_argument("nothing to promote and nobody to remove");
    std::vector<Member> after = members;
    for (const auto& change : changes) {
        const auto same = [&](const Member& m) { return m.id == change.member.id; };
        if (std::count_if(changes.begin(), changes.end(), [&](const MembershipChange& other) {
                return other.member.id == change.member.id;
            }) > 1)
            return base::invalid_argument("a member is named twice");
        const auto it = std::find_if(after.begin(), after.end(), same);
        if (it == after.end()) return errors::member_not_found();
        if (change.kind == MembershipChange::Kind::kRemove)
            after.erase(it);
        else if (!it->learner)
            return errors::not_learner();
        else
            it->learner = false;
    }
    const Voters left = voters(after, raft::kNobody);
    if (left.all == 0 || !left.majority()) return errors::not_enough_started();
    return {};
}

}  // namespace kvstore
