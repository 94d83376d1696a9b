#pragma once
// Small codecs for bytes: fixed-width little-endian integers and varints (LEB128, as Protobuf),
// base64 and hex. Pure.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

// Little-endian, unaligned.
template <class T>
T load_le(const char* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T>
void store_le(char* p, T v) {
    std::memcpy(p, &v, sizeof v);
}
template <class T>
void append_le(std::string* out, T v) {
    out->append(reinterpret_cast<const char*>(&v), sizeof v);
}
// Big-endian: keys that must sort as numbers.
template <class T>
void append_be(std::string* out, T v) {
    for (int shift = 8 * (static_cast<int>(sizeof v) - 1); shift >= 0; shift -= 8)
        out->push_back(static_cast<char>(static_cast<std::make_unsigned_t<T>>(v) >> shift));
}
template <class T>
T load_be(const char* p) {
    std::make_unsigned_t<T> v = 0;
    for (std::size_t i = 0; i < sizeof v; ++i)
        v = static_cast<std::make_unsigned_t<T>>((v << 8) | static_cast<unsigned char>(p[i]));
    return static_cast<T>(v);
}

void append_varint(std::string* out, std::uint64_t v);
// Takes a varint off the front of `in`. False, and `in` unchanged, when there is none or it is over
// 10 bytes.
bool take_varint(std::string_view* in, std::uint64_t* out);

std::string base64_encode(std::string_view bytes);
// Standard alphabet with padding; InvalidArgument otherwise.
Result<std::string> base64_decode(std::string_view text);
// Lower case.
std::string hex_encode(std::string_view bytes);

}  // namespace base
