#pragma once
// Files: what the store does with whole files and directories beside those of LevelDB. Blocking;
// any thread. The operating system's, or the simulator's twin.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kvstore {

class Files {
  public:
    virtual ~Files() = default;
    // The whole content; NotFound.
    virtual base::Result<std::string> read(const std::string& path) = 0;
    // Whole or not at all, durable when it returns.
    virtual base::Status write_atomic(const std::string& path, std::string_view content) = 0;
    // With its parents; no error when it is there.
    virtual base::Status make_directories(const std::string& path) = 0;
    // Names of the directories in a directory, sorted.
    virtual base::Result<std::vector<std::string>> directories_in(const std::string& path) = 0;
    // A file, or a directory with all that is in it; no error when there is none.
    virtual base::Status remove_all(const std::string& path) = 0;
    virtual base::Status rename(const std::string& from, const std::string& to) = 0;

    static Files& of_system();
};

}  // namespace kvstore
