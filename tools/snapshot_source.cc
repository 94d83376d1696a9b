// What a snapshot file holds, as a source of an import: of each key its newest version.

#include <fmt/format.h>

#include <map>

#include "kvstore/backup/snapshot_file.h"
#include "tools/import.h"

namespace tools {

namespace {

constexpr std::size_t kBatchBytes = 1 << 20;

class SnapshotSource final : public ImportSource {
  public:
    SnapshotSource(std::unique_ptr<kvstore::SnapshotFile> file, std::string prefix)
        : file_(std::move(file)), prefix_(std::move(prefix)) {}

    base::Status load() {
        TRY_VOID(file_->for_each_version([this](const kvstore::SnapshotFile::Version& version) {
            const std::string_view key = version.record.key;
            revision_ = version.revision;
            if (key.empty() || !key.starts_with(prefix_)) return base::Status();
            if (version.is_deletion)
                newest_.erase(std::string(key));
            else
                newest_[std::string(key)] = version.bytes;
            return base::Status();
        }));
        TRY_VOID(file_->for_each_lease([this](std::int64_t id, const kvstore::LeaseRecord& lease) {
            const std::int64_t left = lease.remaining_seconds();
            leases_[id] = left > 0 ? left : lease.ttl_seconds();
            return base::Status();
        }));
        TRY_VOID(file_->for_each_role([this](const authpb::Role& role) {
            accounts_.roles.push_back(role);
            return base::Status();
        }));
        TRY_VOID(file_->for_each_user([this](const authpb::User& user) {
            accounts_.users.push_back(user);
            return base::Status();
        }));
        at_ = newest_.begin();
        return {};
    }

    base::Result<std::vector<mvccpb::KeyValue>> next() override {
        std::vector<mvccpb::KeyValue> out;
        for (std::size_t bytes = 0; at_ != newest_.end() && bytes < kBatchBytes; ++at_) {
            if (!out.emplace_back().ParseFromArray(at_->second.data(),
                                                   static_cast<int>(at_->second.size())))
                return base::data_loss("the file changed while it was read");
            bytes += at_->second.size();
        }
        return out;
    }
    std::int64_t revision() const override { return revision_; }
    base::Result<std::vector<std::int64_t>> leases() override {
        std::vector<std::int64_t> out;
        for (const auto& [id, ttl] : leases_)
            out.push_back(id);
        return out;
    }
    base::Result<std::int64_t> lease_ttl(std::int64_t id) override {
        const auto it = leases_.find(id);
        return it == leases_.end() ? 0 : it->second;
    }
    base::Result<Accounts> accounts() override { return accounts_; }

  private:
    std::unique_ptr<kvstore::SnapshotFile> file_;
    std::string prefix_;
    std::int64_t revision_ = 1;
    std::map<std::string, std::string_view> newest_;  // records, as they lie in the file
    std::map<std::string, std::string_view>::const_iterator at_;
    std::map<std::int64_t, std::int64_t> leases_;
    Accounts accounts_;
};

}  // namespace

base::Result<std::unique_ptr<ImportSource>> open_snapshot_source(const std::string& path,
                                                                 std::string prefix) {
    TRY(auto file, kvstore::SnapshotFile::open(path));
    if (!file->has_checksum())
        fmt::print(stderr, "import: {} has no SHA-256: it cannot be told whether it is damaged\n",
                   path);
    auto source = std::make_unique<SnapshotSource>(std::move(file), std::move(prefix));
    TRY_VOID(source->load());
    return std::unique_ptr<ImportSource>(std::move(source));
}

}  // namespace tools
