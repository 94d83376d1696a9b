#pragma once
// `coxctl get`, `put`, `watch`, …: the store's admin tool, over etcd v3 gRPC. The commands run
// while the line is parsed and leave the process's exit code.

namespace CLI {
class App;
}

namespace tools {

// get, list, put, del, watch, txn
void add_key_commands(CLI::App& app, int* exit_code);
// member list, add, update, remove, promote
void add_member_commands(CLI::App& app, int* exit_code);
// compact, defrag, alarm, status, hash, move-leader, lease
void add_admin_commands(CLI::App& app, int* exit_code);
// snapshot save, status, restore
void add_snapshot_commands(CLI::App& app, int* exit_code);
void add_import_command(CLI::App& app, int* exit_code);

}  // namespace tools
