#pragma once
// YAML as kubectl and the API server read it: one document to a JSON value. Plain scalars are
// resolved as by Go's yaml.v2 (YAML 1.1 without y and n); anchors and merge keys work. Pure.

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace api {

// The first document; null when there is none. InvalidArgument with a line number when it is not
// YAML, is nested too deep, or aliases blow it up beyond 64 times its size.
base::Result<boost::json::value> parse_yaml(std::string_view text);
// All documents, the empty ones left out.
base::Result<std::vector<boost::json::value>> parse_yaml_documents(std::string_view text);

}  // namespace api
