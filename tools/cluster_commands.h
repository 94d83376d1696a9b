#pragma once
// `coxctl cluster …`: a cluster of this machine's processes.

namespace CLI {
class App;
}

namespace tools {

// The commands run while the line is parsed and leave the process's exit code.
void add_cluster_commands(CLI::App& app, int* exit_code);

}  // namespace tools
