#pragma once
// OpenAPI v2 in Protobuf: the messages of gnostic's openapi.v2, which older kubectl reads. Pure.

#include <boost/json/object.hpp>
#include <string>

namespace api::openapi {

// A whole document as JSON to an openapi.v2.Document. What this project's documents do not use is
// not carried over.
std::string v2_to_protobuf(const boost::json::object& document);

}  // namespace api::openapi
