#include "kvstore/mvcc/files.h"

#include <algorithm>
#include <filesystem>

#include "base/file.h"

namespace kvstore {
namespace {

namespace fs = std::filesystem;

base::Status status_of(const std::error_code& ec, const std::string& what) {
    if (!ec) return {};
    return base::internal_error(what + ": " + ec.message());
}

class SystemFiles final : public Files {
  public:
    base::Result<std::string> read(const std::string& path) override {
        return base::read_file(path);
    }
    base::Status write_atomic(const std::string& path, std::string_view content) override {
        return base::write_file_atomic(path, content);
    }
    base::Status make_directories(const std::string& path) override {
        return base::make_directories(path);
    }
    base::Result<std::vector<std::string>> directories_in(const std::string& path) override {
        std::error_code ec;
        std::vector<std::string> out;
        for (const auto& entry : fs::directory_iterator(path, ec))
            if (entry.is_directory()) out.push_back(entry.path().filename().string());
        if (ec) return status_of(ec, "list " + path).error();
        std::sort(out.begin(), out.end());
        return out;
    }
    base::Status remove_all(const std::string& path) override {
        std::error_code ec;
        fs::remove_all(path, ec);
        return status_of(ec, "remove " + path);
    }
    base::Status rename(const std::string& from, const std::string& to) override {
        std::error_code ec;
        fs::rename(from, to, ec);
        return status_of(ec, "rename " + from + " to " + to);
    }
};

}  // namespace

Files& Files::of_system() {
    static SystemFiles files;
    return files;
}

}  // namespace kvstore
