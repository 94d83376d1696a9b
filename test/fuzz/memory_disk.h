#pragma once
// A Disk whose files are in memory and whose writes are done at once.

#include <map>
#include <string>

#include "raft/wal/disk.h"

namespace fuzz {

class MemoryDisk final : public raft::Disk {
  public:
    std::map<std::string, std::string> files;

    base::Result<std::vector<std::string>> list() override {
        std::vector<std::string> out;
        for (const auto& [name, bytes] : files)
            out.push_back(name);
        return out;
    }
    base::Result<std::string> read(const std::string& name, std::uint64_t offset,
                                   std::uint64_t length) override {
        const auto it = files.find(name);
        if (it == files.end()) return base::not_found(name);
        if (offset >= it->second.size()) return std::string();
        return it->second.substr(offset, length);
    }
    void submit(raft::DiskBatch batch, base::UniqueFunction<void()> done) override {
        for (const auto& c : batch.creates)
            files[c.name].assign(c.bytes, '\0');
        for (const auto& w : batch.writes) {
            std::string& file = files[w.name];
            if (file.size() < w.offset + w.data.size()) file.resize(w.offset + w.data.size());
            file.replace(w.offset, w.data.size(), w.data);
        }
        for (const auto& name : batch.removes)
            files.erase(name);
        if (done) done();
    }
    void on_trouble(base::UniqueFunction<void(base::Status)>) override {}
};

}  // namespace fuzz
