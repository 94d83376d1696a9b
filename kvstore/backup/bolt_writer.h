#pragma once
// BoltWriter: writes a bbolt database once, from entries in order, as BoltFile and etcd read it.
// What it keeps in memory is a page of each level of a bucket's tree. Blocking; one thread.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kvstore {

class BoltWriter {
  public:
    // `fd`: an empty file, at its beginning; not owned. `path` names it in errors.
    BoltWriter(int fd, std::string path);

    // Buckets come in the order of their names, entries in that of their keys, none twice. No key
    // is empty. Errors are those of writing.
    void begin_bucket(std::string_view name);
    base::Status add(std::string_view key, std::string_view value);
    base::Status end_bucket();
    // Once, at the end. The file is a database then, and not synced. How long it is.
    base::Result<std::uint64_t> finish();

  private:
    // A page that is being filled. All of a tree's pages of one level but the last are full.
    struct Page {
        struct Element {
            std::uint32_t key_bytes = 0;
            std::uint32_t value_bytes = 0;
            std::uint64_t flags_or_child = 0;  // of a leaf, of a branch
        };
        std::vector<Element> elements;
        std::string data;

        // It has, whatever the bytes, for its first elements.
        bool has_room(std::size_t bytes, std::size_t first) const;
        void add(std::string_view key, std::string_view value, std::uint64_t flags_or_child);
        std::string first_key() const;
        std::string encode(std::uint64_t id, std::uint16_t flags) const;
    };

    // Adds to a level of the bucket's tree, of which 0 has the leaves.
    base::Status add(std::size_t level, std::string_view key, std::string_view value,
                     std::uint64_t child);
    // The level's page, which is empty then. Where it is.
    base::Result<std::uint64_t> write_page(std::size_t level);
    base::Status write_out();

    int fd_;
    std::string path_;
    std::string buffer_;           // not written yet
    std::uint64_t next_page_ = 4;  // behind two heads, the list of free pages and the root
    std::vector<Page> levels_;     // of the bucket under way
    std::string bucket_;           // its name
    Page root_;                    // the buckets
};

}  // namespace kvstore
