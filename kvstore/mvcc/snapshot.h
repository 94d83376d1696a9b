#pragma once
// Snapshots: a consistent copy of the whole database as a stream of chunks, and its installation in
// place of the present one. The stream is a header, then every key and value in order, then a
// trailer with the count and a CRC-32C over everything before it. Documented in docs/storage.md.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kvstore/mvcc/db.h"
#include "kvstore/mvcc/snapshot_parser.h"

namespace leveldb {
class Env;
}

namespace kvstore {

// Reads what was committed when it was made. May be used on another thread than the database;
// outlived by it.
class SnapshotSource {
  public:
    explicit SnapshotSource(const Database& db);
    // About `bytes` more; empty at the end.
    std::string next_chunk(std::size_t bytes);

  private:
    void append(std::string* out, std::string_view bytes);

    std::unique_ptr<Cursor> cursor_;
    std::uint32_t crc_ = 0;
    std::uint64_t count_ = 0;
    enum class At { kHeader, kEntries, kDone } at_ = At::kHeader;
};

// The database's directory: generations side by side, of which a small file names the one in use,
// so that a new one takes the place of the old in one atomic step.
class DatabaseDirectory {
  public:
    DatabaseDirectory(std::string directory, Database::Options options);

    // Opens the generation in use (a new one in an empty directory) and removes what an interrupted
    // install left.
    base::Result<std::unique_ptr<Database>> open();

    // Receives a stream of SnapshotSource into a generation of its own. Bytes may come cut
    // anywhere.
    class Installer {
      public:
        ~Installer();
        // DataLoss when the stream is not what SnapshotSource writes.
        base::Status add(std::string_view chunk);
        // Checks that the stream is whole and makes it durable.
        base::Status seal();
        // Once it is sealed: puts the new generation in use. The old database must be closed before
        // open() is called again.
        base::Status finish();

      private:
        friend class DatabaseDirectory;
        Installer(DatabaseDirectory& owner, std::uint64_t generation, std::unique_ptr<Database> db);
        void take(std::string_view key, std::string_view value);

        DatabaseDirectory& owner_;
        std::uint64_t generation_;
        std::unique_ptr<Database> db_;
        SnapshotParser parser_;
        std::size_t uncommitted_ = 0;
        bool of_format_ = false;
        std::string malformed_;  // what cannot be read
        bool finished_ = false;
    };
    base::Result<std::unique_ptr<Installer>> install();

  private:
    std::string path_of(std::uint64_t generation) const;
    base::Result<std::uint64_t> read_current() const;

    std::string directory_;
    Database::Options options_;
    Files& files_;
    std::uint64_t current_ = 0;
};

}  // namespace kvstore
