#pragma once
// How a bbolt database lies in its file, as its documentation and source tell. Pure. All numbers
// are little-endian.
//
//   page     id (8 bytes), flags (2), count (2), overflow: how many pages more it takes (4); then
//            `count` elements
//   element  of a leaf: flags (4), position (4), key's length (4), value's length (4); of a branch:
//            position (4), key's length (4), the child's page (8). Positions count from the element
//   bucket   a leaf's value: the page of its root (8; 0: the page follows here), a sequence (8)
//   head     behind the page's: magic (4), version (4), page size (4), flags (4), the root's bucket
//            (16), the page of the list of free pages (8), how many pages there are (8), the
//            transaction (8), FNV-1a of the 56 bytes before (8). In the first two pages: the one of
//            the later transaction counts

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kvstore::bolt {

inline constexpr std::size_t kPageHeader = 16;
inline constexpr std::size_t kElement = 16;
inline constexpr std::size_t kBucketHeader = 16;

// Flags of pages, and of elements of leaves.
enum PageFlag : std::uint16_t {
    kBranchPage = 0x01,
    kLeafPage = 0x02,
    kHeadPage = 0x04,
    kFreePage = 0x10
};
enum ElementFlag : std::uint32_t { kBucketElement = 0x01 };

inline constexpr std::uint32_t kMagic = 0xED0CDAED;
inline constexpr std::uint32_t kVersion = 2;
inline constexpr std::size_t kHeadBytes = 64;
inline constexpr std::size_t kHeadChecked = 56;

inline std::uint64_t fnv1a(std::string_view bytes) {
    std::uint64_t h = 14695981039346656037ULL;
    for (const char c : bytes)
        h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return h;
}

}  // namespace kvstore::bolt
