#pragma once
// Ids that every member computes alike from what it is configured with. Pure; any thread.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tools {

// The first eight bytes of a SHA-256; never 0.
std::uint64_t stable_id(std::string_view text);
// A member of a new cluster, by the cluster's token and the member's name.
std::uint64_t member_id(std::string_view cluster_token, std::string_view name);
// A new cluster, by its token and its members' names.
std::uint64_t cluster_id(std::string_view cluster_token, const std::vector<std::string>& names);

}  // namespace tools
