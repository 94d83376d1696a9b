#pragma once
// A cluster of this machine's processes in one directory: certificates, configurations, pid files
// and logs of 2n+1 members, a load balancer and hollow nodes. What `coxctl cluster` does. Blocking;
// main thread.
//
//   DIR/cluster.yaml                 what was asked for, and the ports
//   DIR/pki/{ca,admin,<member>}.{crt,key}
//   DIR/<member>/{config.yaml,log,pid,data/}
//   DIR/haproxy/{haproxy.cfg,pid,log}, DIR/hollow-nodes/{config.yaml,pid,log}
//   DIR/admin.kubeconfig

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/client.h"

namespace tools {

struct ClusterOptions {
    std::string directory;
    int members = 3;
    int hollow_nodes = 0;
    bool haproxy = false;
    bool insecure = false;
    std::uint16_t base_port = 0;           // 0: free ones are chosen
    std::vector<std::string> extra_flags;  // "key: value" lines for every member's configuration
};

struct ClusterMember {
    std::string name;
    std::uint16_t client_port = 0;
    std::uint16_t peer_port = 0;
    std::uint16_t api_port = 0;
};

// What one member says of itself; unset when it does not answer.
struct MemberStatus {
    std::uint64_t id = 0;
    int pid = 0;  // 0: not running
    bool healthy = false;
    bool leader = false;
    std::int64_t revision = 0;
    std::uint64_t applied_index = 0;
};

class Cluster {
  public:
    // Makes certificates and configurations in a directory that is empty or not there.
    static base::Result<Cluster> create(const ClusterOptions& options);
    // NotFound when the directory holds no cluster.
    static base::Result<Cluster> open(const std::string& directory);

    const std::vector<ClusterMember>& members() const { return members_; }
    bool insecure() const { return options_.insecure; }
    bool has_haproxy() const { return options_.haproxy; }
    int hollow_nodes() const { return options_.hollow_nodes; }
    // Where users go: the load balancer, or the first member.
    std::string api_url() const;
    std::string member_url(const ClusterMember& member,
                           const char* which) const;  // "client", "peer" or "api"
    std::string kubeconfig_path() const { return options_.directory + "/admin.kubeconfig"; }
    std::string pki(const std::string& file) const { return options_.directory + "/pki/" + file; }
    std::optional<net::ClientTls> admin_tls() const;

    // InvalidArgument for a name (or id) that no member has. "leader" is the present one.
    base::Result<const ClusterMember*> find(const std::string& name_or_id) const;

    // Each starts what is not running yet.
    base::Status start_member(const ClusterMember& member);
    base::Status start_haproxy();
    base::Status start_hollow_nodes();
    // `signal` to the process, then waits until it is gone; false when it did not run. After
    // SIGTERM's patience SIGKILL follows.
    base::Result<bool> stop(const std::string& what, int signal);
    int pid_of(const std::string& what) const;
    std::string log_of(const std::string& what) const {
        return options_.directory + "/" + what + "/log";
    }

    MemberStatus status(const ClusterMember& member) const;
    // The holder of a lease in kube-system; "" when there is none.
    std::string lease_holder(const std::string& lease) const;
    // Until every member that runs answers /readyz, or Unavailable.
    base::Status wait_ready(base::Millis timeout) const;
    // Until api_url() answers: through the load balancer, where there is one.
    base::Status wait_api(base::Millis timeout) const;

  private:
    explicit Cluster(ClusterOptions options) : options_(std::move(options)) {}
    // Of the store's cluster: its members' ids follow from it.
    std::string token() const;
    base::Status make_certificates() const;
    base::Status make_configurations() const;
    base::Status save() const;
    base::Status spawn(const std::string& what, std::vector<std::string> command);
    std::string path(const std::string& what, const char* file) const {
        return options_.directory + "/" + what + "/" + file;
    }

    ClusterOptions options_;
    std::vector<ClusterMember> members_;
    std::uint16_t haproxy_port_ = 0;
};

}  // namespace tools
