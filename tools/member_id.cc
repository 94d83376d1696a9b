#include "tools/member_id.h"

#include <openssl/evp.h>

#include <string>

#include "base/bytes.h"

namespace tools {

std::uint64_t stable_id(std::string_view text) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr);
    const auto id = base::load_le<std::uint64_t>(reinterpret_cast<const char*>(digest));
    return id == 0 ? 1 : id;
}

std::uint64_t member_id(std::string_view cluster_token, std::string_view name) {
    return stable_id(std::string(cluster_token) + "\n" + std::string(name));
}

std::uint64_t cluster_id(std::string_view cluster_token, const std::vector<std::string>& names) {
    std::string text(cluster_token);
    for (const auto& name : names)
        text += "\n" + name;
    return stable_id(text);
}

}  // namespace tools
