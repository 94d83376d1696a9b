#include "tools/member_id.h"

#include <string>

#include "base/bytes.h"
#include "base/sha256.h"

namespace tools {

std::uint64_t stable_id(std::string_view text) {
    const auto id = base::load_le<std::uint64_t>(base::sha256(text).data());
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
