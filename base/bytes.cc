#include "base/bytes.h"

#include <openssl/evp.h>

#include <bit>

namespace base {

static_assert(std::endian::native == std::endian::little,
              "load_le and store_le copy the machine's own order");

void append_varint(std::string* out, std::uint64_t v) {
    while (v >= 0x80) {
        out->push_back(static_cast<char>(v | 0x80));
        v >>= 7;
    }
    out->push_back(static_cast<char>(v));
}

bool take_varint(std::string_view* in, std::uint64_t* out) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < in->size() && i < 10; ++i) {
        auto byte = static_cast<unsigned char>((*in)[i]);
        value |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * i);
        if ((byte & 0x80) == 0) {
            in->remove_prefix(i + 1);
            *out = value;
            return true;
        }
    }
    return false;
}

std::string base64_encode(std::string_view bytes) {
    std::string out((bytes.size() + 2) / 3 * 4, '\0');
    // OpenSSL also writes a NUL behind the text, where std::string keeps its own.
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                    reinterpret_cast<const unsigned char*>(bytes.data()),
                    static_cast<int>(bytes.size()));
    return out;
}

Result<std::string> base64_decode(std::string_view text) {
    if (text.empty()) return std::string();
    if (text.size() % 4 != 0)
        return invalid_argument("base64 text has a length that is not a multiple of 4");
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
    if (text.substr(0, text.size() - padding).find_first_of("= \n\r\t") != std::string_view::npos)
        return invalid_argument("base64 text has a character outside its alphabet");
    std::string out(text.size() / 4 * 3, '\0');
    int n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                            reinterpret_cast<const unsigned char*>(text.data()),
                            static_cast<int>(text.size()));
    if (n < 0) return invalid_argument("base64 text has a character outside its alphabet");
    out.resize(static_cast<std::size_t>(n) - padding);
    return out;
}

std::string hex_encode(std::string_view bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (char c : bytes) {
        auto byte = static_cast<unsigned char>(c);
        out.push_back(kDigits[byte >> 4]);
        out.push_back(kDigits[byte & 15]);
    }
    return out;
}

}  // namespace base
