// coxctl: brings clusters up and down on this machine, and is the store's admin tool. Command line
// and output only.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/log.h"
#include "tools/cluster_commands.h"
#include "tools/store_commands.h"

int main(int argc, char** argv) {
    CLI::App app{"coxctl: the admin tool of Coxswain"};
    app.require_subcommand(1);
    app.set_version_flag("--version", "coxctl 0.1.0");
    base::set_log_level(base::LogLevel::kError);
    int exit_code = 0;
    tools::add_cluster_commands(app, &exit_code);
    tools::add_key_commands(app, &exit_code);
    tools::add_member_commands(app, &exit_code);
    tools::add_admin_commands(app, &exit_code);
    tools::add_snapshot_commands(app, &exit_code);
    tools::add_import_command(app, &exit_code);
    CLI11_PARSE(app, argc, argv);
    return exit_code;
}
