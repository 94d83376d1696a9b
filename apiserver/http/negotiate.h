#pragma once
// Content negotiation: in what form a client wants its answer, and in what form its request's body
// is. Pure.

#include <string>
#include <string_view>

#include "base/result.h"

namespace apiserver {

enum class Format { kJson, kProtobuf, kYaml };

struct Accepted {
    Format format = Format::kJson;
    // "": the object itself; "Table", "PartialObjectMetadata", "PartialObjectMetadataList",
    // "APIGroupDiscoveryList": another form of it.
    std::string as;
    std::string as_version;

    // What the answer's content-type says. `stream`: of a watch.
    std::string content_type(bool stream = false) const;
};

// The first alternative of an Accept header that this server can give. NotAcceptable (406) when
// there is none. `tables`: whether the endpoint can answer as a Table or PartialObjectMetadata.
base::Result<Accepted> negotiate(std::string_view accept, bool tables);

// application/json, application/yaml or the Kubernetes protobuf type; UnsupportedMediaType (415)
// otherwise. An empty one is JSON.
base::Result<Format> body_format(std::string_view content_type);

// "application/json; charset=utf-8" → "application/json".
std::string_view media_type(std::string_view header);

}  // namespace apiserver
