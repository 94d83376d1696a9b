#pragma once
// What `coxswain` is told: by flags, by environment variables (COXSWAIN_DATA_DIR for --data-dir),
// and by a YAML file
// (--config), in this order of precedence. An unknown key or a bad value stops the start and is
// named.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/http.h"
#include "net/tls.h"

namespace CLI {
class App;
}

namespace tools {

// Files of certificates. One certificate serves as server and as client, to peers and to users.
struct TlsFiles {
    std::string ca;           // who may talk to us, and whom we trust
    std::string certificate;  // the leaf first
    std::string key;

    net::ServerTls server(net::ClientAuth auth) const;
    net::ClientTls client() const;
};

struct Config {
    std::string name = "default";
    std::string data_dir = "coxswain-data";
    std::string log_level = "info";
    bool insecure = false;
    TlsFiles tls;

    // The store
    std::string cluster_token = "coxswain";
    // "m1=https://127.0.0.1:2380" each; empty: a cluster of this member alone.
    std::vector<std::string> initial_cluster;
    // Client endpoints of a running cluster that this member was added to.
    std::vector<std::string> join;
    std::string advertise_peer;  // URL; from listen_peer when empty
    std::int64_t quota_backend_bytes = 0;
    std::string auto_compaction_mode = "periodic";
    std::string auto_compaction_retention = "0";
    int max_txn_ops = 128;
    std::int64_t max_request_bytes = 1536 << 10;
    std::string listen_peer = "127.0.0.1:2380";
    std::string listen_client = "127.0.0.1:2379";
    std::string advertise_client;  // URL; from listen_client when empty
    std::int64_t heartbeat_ms = 100;
    std::int64_t election_ms = 500;
    std::uint32_t leader_priority = 0;
    std::string read_mode = "index";
    int max_learners = 1;
    std::int64_t lease_checkpoint_interval = 300;  // seconds
    std::string auth_token = "simple";             // or "jwt,…", see kvstore/server/jwt.h

    // Where the API server's store is when it is not in this process.
    std::vector<std::string> store_endpoints;
    // The API server
    std::string listen_api = "127.0.0.1:6443";
    std::string advertise_address;  // from listen_api when empty
    std::string token_file;
    bool anonymous = true;

    // Where the API is when it is not in this process.
    std::string api_endpoint;
    std::int64_t lease_seconds = 15;
    std::int64_t renew_seconds = 10;
    std::int64_t retry_seconds = 2;
    std::int64_t node_grace_seconds = 40;

    // Hollow nodes
    int count = 1;
    std::string node_prefix = "hollow-node-";
    std::int64_t start_delay_ms = 500;
};

// Which groups of flags a command has.
struct FlagGroups {
    bool store = false;
    bool store_client = false;
    bool api = false;
    bool api_client = false;
    bool election = false;
    bool hollow = false;
};
void add_flags(CLI::App& app, Config& config, FlagGroups groups);

// Checks that need more than one flag: addresses, files, that --insecure stays on loopback. Names
// the flag.
base::Status validate(const Config& config, FlagGroups groups);

// True for 127.0.0.0/8, ::1 and "localhost".
bool is_loopback(const std::string& host);

}  // namespace tools
