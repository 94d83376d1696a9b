#pragma once
// `coxctl get`, `put`, `watch`, …: the store's admin tool, over etcd v3 gRPC.

namespace CLI {
class App;
}

namespace tools {

// The commands run while the line is parsed and leave the process's exit code.
void add_store_commands(CLI::App& app, int* exit_code);

}  // namespace tools
