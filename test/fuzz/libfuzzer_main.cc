// libFuzzer's way into a target; its own main() does the rest. A corpus directory on the command
// line that is empty, or not there, begins with the target's seeds.

#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "base/log.h"
#include "test/fuzz/target.h"

namespace {

void fill(const std::filesystem::path& directory) {
    std::filesystem::create_directories(directory);
    if (!std::filesystem::is_empty(directory)) return;
    const std::vector<std::string> seeds = fuzz::seeds();
    for (std::size_t i = 0; i < seeds.size(); ++i) {
        const auto done =
            base::write_file_atomic(directory / ("seed-" + std::to_string(i)), seeds[i]);
        if (done) continue;
        std::cerr << done.error().message << '\n';
        std::exit(1);
    }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    base::set_log_level(base::LogLevel::kOff);
    google::protobuf::SetLogHandler(nullptr);
    for (int i = 1; i < *argc; ++i) {
        const std::filesystem::path argument = (*argv)[i];
        const bool is_flag = argument.string().starts_with("-");
        if (!is_flag && !std::filesystem::is_regular_file(argument)) fill(argument);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::run({reinterpret_cast<const char*>(data), size});
    return 0;
}
