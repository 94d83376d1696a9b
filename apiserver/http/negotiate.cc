#include "apiserver/http/negotiate.h"

#include <boost/algorithm/string.hpp>
#include <vector>

#include "api/status.h"

namespace apiserver {
namespace {

constexpr std::string_view kJsonType = "application/json";
constexpr std::string_view kYamlType = "application/yaml";
constexpr std::string_view kProtobufType = "application/vnd.kubernetes.protobuf";

struct Alternative {
    std::string type;
    std::string as;
    std::string group;
    std::string version;
};

Alternative parse(std::string_view text) {
    std::vector<std::string> parts;
    boost::split(parts, text, [](char c) { return c == ';'; });
    Alternative out;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        boost::trim(parts[i]);
        if (i == 0) {
            out.type = boost::to_lower_copy(parts[i]);
            continue;
        }
        const auto equals = parts[i].find('=');
        const std::string key = parts[i].substr(0, equals);
        const std::string value = equals == std::string::npos ? "" : parts[i].substr(equals + 1);
        if (key == "as") out.as = value;
        if (key == "g") out.group = value;
        if (key == "v") out.version = value;
    }
    return out;
}

bool known_form(const Alternative& a, bool tables) {
    if (a.as.empty()) return true;
    if (a.as == "APIGroupDiscoveryList")
        return a.group == "apidiscovery.k8s.io" && a.version == "v2";
    const bool meta = a.group == "meta.k8s.io" &&
                      (a.version == "v1" || (a.as == "Table" && a.version == "v1beta1"));
    return tables && meta &&
           (a.as == "Table" || a.as == "PartialObjectMetadata" ||
            a.as == "PartialObjectMetadataList");
}

}  // namespace

std::string_view media_type(std::string_view header) {
    auto type = header.substr(0, header.find(';'));
    while (type.starts_with(' '))
        type.remove_prefix(1);
    while (type.ends_with(' '))
        type.remove_suffix(1);
    return type;
}

std::string Accepted::content_type(bool stream) const {
    std::string out(format == Format::kProtobuf ? kProtobufType
                    : format == Format::kYaml   ? kYamlType
                                                : kJsonType);
    if (as == "APIGroupDiscoveryList")
        out += ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    if (stream) out += ";stream=watch";
    return out;
}

base::Result<Accepted> negotiate(std::string_view accept, bool tables) {
    if (boost::trim_copy(accept).empty()) return Accepted{};
    std::vector<std::string> alternatives;
    boost::split(alternatives, accept, [](char c) { return c == ','; });
    for (const auto& text : alternatives) {
        const Alternative a = parse(text);
        if (!known_form(a, tables)) continue;
        Accepted out{Format::kJson, a.as, a.version};
        if (a.type == kJsonType || a.type == "*/*" || a.type == "application/*") return out;
        // Tables and discovery are JSON here: there is a next alternative for who asks for more.
        if (a.type == kProtobufType && a.as.empty()) return out.format = Format::kProtobuf, out;
        if (a.type == kYamlType && a.as.empty()) return out.format = Format::kYaml, out;
    }
    return api::not_acceptable(
        {std::string(kJsonType), std::string(kYamlType), std::string(kProtobufType)});
}

base::Result<Format> body_format(std::string_view content_type) {
    const auto type = media_type(content_type);
    if (type.empty() || type == kJsonType) return Format::kJson;
    if (type == kYamlType) return Format::kYaml;
    if (type == kProtobufType) return Format::kProtobuf;
    return api::unsupported_media_type(
        {std::string(kJsonType), std::string(kYamlType), std::string(kProtobufType)});
}

}  // namespace apiserver
