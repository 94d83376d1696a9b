#pragma once
// The rules for names. Each answers "" when the text obeys, otherwise upstream's message about it.
// Pure.

#include <cstdint>
#include <string>
#include <string_view>

namespace api {

std::string bad_dns1123_label(std::string_view text);
std::string bad_dns1123_subdomain(std::string_view text);
std::string bad_dns1035_label(std::string_view text);
// "prefix/name" or "name": keys of labels and annotations, names of conditions and finalizers.
std::string bad_qualified_name(std::string_view text);
std::string bad_label_value(std::string_view text);
// A name that only has to be one segment of a URL's path (roles and their bindings).
std::string bad_path_segment(std::string_view text);
// Names of environment variables.
std::string bad_env_name(std::string_view text);
// Keys of config maps and secrets.
std::string bad_config_map_key(std::string_view text);
// Names of ports.
std::string bad_port_name(std::string_view text);
// 1-65535.
std::string bad_port_number(std::int64_t port);

}  // namespace api
