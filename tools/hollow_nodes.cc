#include "tools/hollow_nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <vector>

#include "api/informer.h"
#include "api/status.h"
#include "api/util.h"
#include "api/workqueue.h"
#include "base/log.h"
#include "tools/hollow_objects.h"

namespace tools {
namespace {

using api::coordination::Lease;
using api::core::Node;
using api::core::Pod;
constexpr std::chrono::minutes kStatusPeriod{5};

}  // namespace

struct HollowNodes::Impl {
    Impl(base::Loop& l, std::shared_ptr<api::Client> c, HollowNodesOptions o)
        : loop(l),
          client(std::move(c)),
          options(std::move(o)),
          pods(loop, client, api::resource_of<Pod>()),
          queue(loop),
          tasks(loop),
          nodes(static_cast<std::size_t>(options.count)) {
        for (int i = 0; i < options.count; ++i) {
            nodes[static_cast<std::size_t>(i)].name = options.prefix + std::to_string(i);
            by_name[nodes[static_cast<std::size_t>(i)].name] = i;
        }
        pods.on_change([this](const auto& before, const auto& now) { on_pod(before, now); });
    }

    struct HollowNode {
        std::string name;
        std::string uid;  // "" until it is registered
        api::Ptr<Lease> lease;
        base::SteadyTime renewed{};
        base::SteadyTime reported{};
    };

    void start() {
        // Renewals stay as far from each other as they begin.
        for (int i = 0; i < options.count; ++i)
            queue.add("node " + std::to_string(i));
        for (int i = 0; i < options.workers; ++i)
            tasks.spawn("hollow nodes", work());
        pods.start();
    }

    base::Awaitable<void> stop() {
        queue.shut_down();
        co_await pods.stop();
        co_await tasks.stop();
    }

    base::Awaitable<void> work() {
        while (true) {
            auto key = co_await queue.get();
            if (!key) co_return;
            base::Status result;
            if (key->compare(0, 5, "node ") == 0)
                result = co_await care_for_node(std::stoi(key->substr(5)));
            else
                result = co_await care_for_pod(*key);
            if (result) {
                queue.forget(*key);
            } else {
                LOG_DEBUG("hollow", "{}: {}", *key, result.error().to_string());
                queue.add_rate_limited(*key);
            }
            queue.done(*key);
        }
    }

    base::Task<void> care_for_node(int index) {
        HollowNode& node = nodes[static_cast<std::size_t>(index)];
        const auto now = std::chrono::steady_clock::now();
        const bool fresh = node.uid.empty();
        // After a gap others may have written it off.
        if (fresh || now - node.renewed > 2 * options.lease_period ||
            now - node.reported > kStatusPeriod)
            CO_TRY_VOID(co_await report(&node, index));
        CO_TRY_VOID(co_await renew(&node));
        node.renewed = std::chrono::steady_clock::now();
        auto wait = options.lease_period;
        if (fresh) {
            ++registered;
            wait = wait * (index + 1) / options.count;
        }
        queue.add_after("node " + std::to_string(index), wait);
        co_return base::Status();
    }

    // Registers the node if need be, and writes its status.
    base::Task<void> report(HollowNode* node, int index) {
        auto found = co_await client->get<Node>("", node->name);
        if (!found) {
            if (!api::is_not_found(found.error())) co_return found.error();
            auto wanted = std::make_shared<Node>(hollow_node(node->name));
            set_node_status(wanted.get(), index, api::wall_now());
            found = co_await client->create<Node>(std::move(wanted));
            if (!found) co_return found.error();
        }
        if (node->uid != (*found)->metadata().uid()) node->lease = nullptr;
        auto next = api::copy(**found);
        set_node_status(next.get(), index, api::wall_now());
        CO_TRY(const auto written, co_await client->update_status<Node>(std::move(next)));
        node->uid = written->metadata().uid();
        node->reported = std::chrono::steady_clock::now();
        co_return base::Status();
    }

    base::Task<void> renew(HollowNode* node) {
        Node self;
        self.mutable_metadata()->set_name(node->name);
        self.mutable_metadata()->set_uid(node->uid);
        if (node->lease == nullptr) {
            auto found = co_await client->get<Lease>("kube-node-lease", node->name);
            if (found) {
                node->lease = *found;
            } else if (!api::is_not_found(found.error())) {
                co_return found.error();
            } else {
                auto first = std::make_shared<Lease>();
                renew_lease(first.get(), self, api::wall_now());
                CO_TRY(node->lease, co_await client->create<Lease>(std::move(first)));
                co_return base::Status();
            }
        }
        auto next = api::copy(*node->lease);
        renew_lease(next.get(), self, api::wall_now());
        auto renewed = co_await client->update<Lease>(std::move(next));
        if (!renewed) {
            node->lease = nullptr;
            co_return renewed.error();
        }
        node->lease = std::move(*renewed);
        co_return base::Status();
    }

    bool is_ours(const Pod& pod) const { return by_name.count(pod.spec().nodename()) != 0; }
    static bool runs(const Pod& pod) {
        if (pod.status().phase() != "Running" || pod.status().podip().empty()) return false;
        for (const auto& condition : pod.status().conditions())
            if (condition.type() == "Ready") return condition.status() == "True";
        return false;
    }
    static bool finished(const Pod& pod) {
        return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
    }

    void on_pod(const api::ObjectPtr& before, const api::ObjectPtr& now) {
        if (now == nullptr) {
            used_ips.erase(api::as<Pod>(*before).status().podip());
            return;
        }
        const auto& pod = api::as<Pod>(*now);
        if (!pod.status().podip().empty()) used_ips.insert(pod.status().podip());
        if (!is_ours(pod)) return;
        if (api::is_deleting(pod))
            queue.add(api::key_of(pod));
        else if (!runs(pod) && !finished(pod))
            queue.add_after(api::key_of(pod), options.start_delay);
    }

    std::string free_ip() {
        std::string out;
        do {
            next_ip = (next_ip + 1) % (1U << 24);
            out = hollow_pod_ip(next_ip);
        } while ((next_ip & 255) == 0 || (next_ip & 255) == 255 || used_ips.count(out) != 0);
        used_ips.insert(out);
        return out;
    }

    base::Task<void> care_for_pod(std::string key) {
        const auto pod = pods.get_as<Pod>(key);
        if (pod == nullptr || !is_ours(*pod)) co_return base::Status();
        if (api::is_deleting(*pod)) co_return co_await let_go(key, pod);
        if (runs(*pod) || finished(*pod)) co_return base::Status();
        const std::string host_ip = hollow_node_ip(by_name.at(pod->spec().nodename()));
        std::string ip = pod->status().podip();
        if (ip.empty()) ip = pod->spec().hostnetwork() ? host_ip : free_ip();
        auto next = api::copy(*pod);
        set_running(next.get(), ip, host_ip, api::wall_now());
        auto written = co_await client->update_status<Pod>(std::move(next));
        if (!written && !pod->spec().hostnetwork() && pod->status().podip().empty())
            used_ips.erase(ip);
        if (!written && !api::is_not_found(written.error())) co_return written.error();
        co_return base::Status();
    }

    base::Task<void> let_go(std::string key, api::Ptr<Pod> pod) {
        const auto& m = pod->metadata();
        const auto grace = std::chrono::seconds(m.deletiongraceperiodseconds());
        const auto asked = api::from_time(m.deletiontimestamp()) - grace;
        const auto due = asked + std::min<base::Millis>(grace, options.max_grace);
        const auto wait = std::chrono::ceil<base::Millis>(due - api::wall_now());
        if (wait > base::Millis(0)) {
            queue.add_after(key, wait);
            co_return base::Status();
        }
        api::DeleteOptions how;
        how.grace_period_seconds = 0;
        how.uid = m.uid();
        auto removed = co_await client->remove<Pod>(m.namespace_(), m.name(), std::move(how));
        if (!removed && !api::is_not_found(removed.error()) && !api::is_conflict(removed.error()))
            co_return removed.error();
        co_return base::Status();
    }

    base::Loop& loop;
    std::shared_ptr<api::Client> client;
    HollowNodesOptions options;
    api::Informer pods;
    api::WorkQueue queue;
    base::TaskGroup tasks;
    std::vector<HollowNode> nodes;
    std::unordered_map<std::string, int> by_name;
    std::set<std::string> used_ips;
    std::uint32_t next_ip = 0;
    int registered = 0;
};

HollowNodes::HollowNodes(base::Loop& loop, std::shared_ptr<api::Client> client,
                         HollowNodesOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(client), std::move(options))) {}
HollowNodes::~HollowNodes() = default;

void HollowNodes::start() {
    impl_->start();
}
base::Awaitable<void> HollowNodes::stop() {
    co_await impl_->stop();
}
int HollowNodes::registered() const {
    return impl_->registered;
}

}  // namespace tools
