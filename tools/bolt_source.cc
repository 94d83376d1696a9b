// What an etcd snapshot holds, as a source of an import: of each key its newest version.

#include <fmt/format.h>

#include <map>

#include "base/bytes.h"
#include "kvstore/bolt_file.h"
#include "tools/import.h"

namespace tools {

namespace {

// etcd's keys in the bucket "key": revision (8 bytes, big-endian), '_', sub-revision (8 bytes), and
// a 't' behind a deletion.
constexpr std::size_t kRevisionKey = 17;
constexpr char kTombstone = 't';
constexpr std::size_t kBatchBytes = 1 << 20;
constexpr std::size_t kMaxRecord = std::size_t{1} << 30;

class BoltSource final : public ImportSource {
  public:
    BoltSource(std::unique_ptr<kvstore::BoltFile> file, std::string prefix)
        : file_(std::move(file)), prefix_(std::move(prefix)) {}

    base::Status load() {
        TRY_VOID(file_->for_each("key", [this](std::string_view key, std::string_view value) {
            return take_version(key, value);
        }));
        TRY_VOID(file_->for_each("lease", [this](std::string_view key, std::string_view value) {
            return take_lease(key, value);
        }));
        TRY_VOID(file_->for_each("authRoles", [this](std::string_view, std::string_view value) {
            return take(value, &accounts_.roles);
        }));
        TRY_VOID(file_->for_each("authUsers", [this](std::string_view, std::string_view value) {
            return take(value, &accounts_.users);
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
    base::Status take_version(std::string_view key, std::string_view value) {
        const bool gone = key.size() == kRevisionKey + 1 && key.back() == kTombstone;
        if (key.size() != kRevisionKey && !gone)
            return base::data_loss(
                fmt::format("a key of the bucket \"key\" has {} bytes", key.size()));
        revision_ = std::max(revision_, base::load_be<std::int64_t>(key.data()));
        // A revision that was skipped when the snapshot was restored.
        if (value.empty()) return {};
        mvccpb::KeyValue kv;
        if (value.size() > kMaxRecord ||
            !kv.ParseFromArray(value.data(), static_cast<int>(value.size())))
            return base::data_loss(fmt::format("the record of revision {} cannot be read",
                                               base::load_be<std::int64_t>(key.data())));
        if (!kv.key().starts_with(prefix_)) return {};
        if (gone)
            newest_.erase(kv.key());
        else
            newest_[kv.key()] = value;
        return {};
    }

    template <class Record>
    static base::Status take(std::string_view value, std::vector<Record>* records) {
        if (value.size() > kMaxRecord ||
            !records->emplace_back().ParseFromArray(value.data(), static_cast<int>(value.size())))
            return base::data_loss("a user or a role cannot be read");
        return {};
    }

    // leasepb.Lease: 1 the id, 2 the TTL that was granted, 3 what was left of it when that was
    // noted (0: not noted).
    base::Status take_lease(std::string_view key, std::string_view value) {
        std::int64_t granted = 0;
        std::int64_t left = 0;
        while (!value.empty()) {
            std::uint64_t tag = 0;
            std::uint64_t number = 0;
            if (!base::take_varint(&value, &tag) || (tag & 7) != 0 ||
                !base::take_varint(&value, &number))
                return base::data_loss("a lease cannot be read");
            if (tag >> 3 == 2) granted = static_cast<std::int64_t>(number);
            if (tag >> 3 == 3) left = static_cast<std::int64_t>(number);
        }
        if (key.size() != sizeof(std::int64_t)) return base::data_loss("a lease cannot be read");
        leases_[base::load_be<std::int64_t>(key.data())] = left > 0 ? left : granted;
        return {};
    }

    std::unique_ptr<kvstore::BoltFile> file_;
    std::string prefix_;
    std::int64_t revision_ = 1;
    std::map<std::string, std::string_view> newest_;  // records, as they lie in the file
    std::map<std::string, std::string_view>::const_iterator at_;
    std::map<std::int64_t, std::int64_t> leases_;
    Accounts accounts_;
};

}  // namespace

base::Result<std::unique_ptr<ImportSource>> open_bolt_source(const std::string& path,
                                                             std::string prefix) {
    TRY(auto file, kvstore::BoltFile::open(path));
    if (!file->has_checksum())
        fmt::print(stderr, "import: {} has no SHA-256: it cannot be told whether it is damaged\n",
                   path);
    auto source = std::make_unique<BoltSource>(std::move(file), std::move(prefix));
    if (auto loaded = source->load(); !loaded) return loaded.error().with_context(path);
    return std::unique_ptr<ImportSource>(std::move(source));
}

}  // namespace tools
