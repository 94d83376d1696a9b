#include "kvstore/mvcc/snapshot.h"

#include <leveldb/env.h>

#include <charconv>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/planted.h"
#include "kvstore/mvcc/files.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/store.h"
#include "kvstore/mvcc/unfinished.h"
#include "kvstore/proto/command.pb.h"

namespace kvstore {

using namespace snapshot_format;

namespace {

constexpr std::size_t kCommitBytes = 1 << 20;

constexpr std::string_view kCurrentFile = "/CURRENT-GENERATION";

}  // namespace

SnapshotSource::SnapshotSource(const Database& db) : cursor_(db.snapshot_cursor()) {
    cursor_->seek("");
}

void SnapshotSource::append(std::string* out, std::string_view bytes) {
    crc_ = base::crc32c(bytes, crc_);
    out->append(bytes);
}

std::string SnapshotSource::next_chunk(std::size_t bytes) {
    std::string out;
    if (at_ == At::kHeader) {
        append(&out, kMagic);
        at_ = At::kEntries;
    }
    std::string head;
    for (; at_ == At::kEntries && cursor_->valid() && out.size() < bytes;
         cursor_->next(), ++count_) {
        head.assign(1, kEntry);
        base::append_varint(&head, cursor_->key().size());
        base::append_varint(&head, cursor_->value().size());
        append(&out, head);
        append(&out, cursor_->key());
        append(&out, cursor_->value());
    }
    if (at_ == At::kEntries && !cursor_->valid() && out.size() < bytes) {
        head.assign(1, kTrailer);
        base::append_le(&head, count_);
        append(&out, head);
        base::append_le(&out, crc_);
        at_ = At::kDone;
    }
    return out;
}

DatabaseDirectory::DatabaseDirectory(std::string directory, Database::Options options)
    : directory_(std::move(directory)),
      options_(std::move(options)),
      files_(options_.files != nullptr ? *options_.files : Files::of_system()) {}

std::string DatabaseDirectory::path_of(std::uint64_t generation) const {
    return directory_ + "/" + std::to_string(generation);
}

base::Result<std::uint64_t> DatabaseDirectory::read_current() const {
    const std::string path = directory_ + std::string(kCurrentFile);
    auto text = files_.read(path);
    if (!text && text.error().code == base::Code::kNotFound) return std::uint64_t{0};
    if (!text) return text.error();
    std::uint64_t generation = 0;
    const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), generation);
    if (ec != std::errc() || *end != '\n') return base::data_loss(path + " does not hold a number");
    return generation;
}

base::Result<std::unique_ptr<Database>> DatabaseDirectory::open() {
    TRY_VOID(files_.make_directories(directory_));
    TRY(current_, read_current());
    TRY(const auto generations, files_.directories_in(directory_));
    for (const std::string& name : generations) {
        if (name == std::to_string(current_)) continue;
        LOG_INFO("kvstore", "removing {}/{}, which is not in use", directory_, name);
        TRY_VOID(files_.remove_all(directory_ + "/" + name));
    }
    options_.directory = path_of(current_);
    return Database::open(options_);
}

base::Result<std::unique_ptr<DatabaseDirectory::Installer>> DatabaseDirectory::install() {
    const std::uint64_t generation = current_ + 1;
    TRY_VOID(files_.remove_all(path_of(generation)));
    Database::Options options = options_;
    options.directory = path_of(generation);
    TRY(auto db, Database::open(options));
    if (base::planted(base::PlantedBug::kSnapshotNotAtomic))
        TRY_VOID(files_.write_atomic(directory_ + std::string(kCurrentFile),
                                     std::to_string(generation) + "\n"));
    return std::unique_ptr<Installer>(new Installer(*this, generation, std::move(db)));
}

DatabaseDirectory::Installer::Installer(DatabaseDirectory& owner, std::uint64_t generation,
                                        std::unique_ptr<Database> db)
    : owner_(owner),
      generation_(generation),
      db_(std::move(db)),
      parser_([this](std::string_view key, std::string_view value) { take(key, value); }) {}

DatabaseDirectory::Installer::~Installer() {
    db_.reset();
    // What cannot be removed now is removed at the next start.
    if (!finished_) (void)owner_.files_.remove_all(owner_.path_of(generation_));
}

base::Status DatabaseDirectory::Installer::add(std::string_view chunk) {
    return parser_.add(chunk);
}

void DatabaseDirectory::Installer::take(std::string_view key, std::string_view value) {
    // What is read when the copy is put in use must be sound; then it is too late to refuse it.
    if (key == schema::kMetaFormat) of_format_ = value == schema::encode_number(schema::kFormat);
    if (schema::parse_lease_key(key)) {
        LeaseRecord lease;
        if (!lease.ParseFromArray(value.data(), static_cast<int>(value.size())))
            malformed_ = "a lease";
    }
    for (const auto number :
         {schema::kMetaRevision, schema::kMetaCompacted, schema::kMetaScrubbed, schema::kMetaKeys})
        if (key == number && value.size() != sizeof(std::int64_t)) malformed_ = number;
    db_->put(key, value);
    uncommitted_ += key.size() + value.size();
    if (uncommitted_ < kCommitBytes) return;
    db_->commit();
    uncommitted_ = 0;
}

base::Status DatabaseDirectory::Installer::seal() {
    if (!parser_.complete()) return base::data_loss("the snapshot ends too early");
    if (!of_format_) return base::data_loss("the snapshot does not say that it is of this format");
    if (!malformed_.empty())
        return base::data_loss("the snapshot has " + malformed_ + " that cannot be read");
    db_->commit();
    if (has_unfinished(*db_, MvccStore(*db_).revision()))
        return base::data_loss("the snapshot has changes behind its revision");
    TRY_VOID(db_->sync());
    db_.reset();
    return {};
}

base::Status DatabaseDirectory::Installer::finish() {
    CHECK(db_ == nullptr, "seal() comes first");
    TRY_VOID(owner_.files_.write_atomic(owner_.directory_ + std::string(kCurrentFile),
                                        std::to_string(generation_) + "\n"));
    finished_ = true;
    return {};
}

}  // namespace kvstore
