#pragma once
// The schemas of messages, for both versions of OpenAPI. Pure; one thread at a time.

#include <google/protobuf/descriptor.h>

#include <boost/json/object.hpp>
#include <map>
#include <set>
#include <string>

#include "api/scheme.h"

namespace api::openapi {

enum class Dialect { kV2, kV3 };

// k8s.io.api.core.v1.Pod → io.k8s.api.core.v1.Pod: what upstream calls a definition.
std::string schema_name(const google::protobuf::Descriptor* d);

// {"group","version","kind"} of an apiVersion and a kind.
boost::json::object gvk(std::string_view api_version, std::string_view kind);

// Schemas of the messages that were asked for, and of all that they refer to.
class Schemas {
  public:
    explicit Schemas(Dialect dialect) : dialect_(dialect) {}

    // {"$ref":…} to the message's schema.
    boost::json::object reference(const google::protobuf::Descriptor* d);
    // By name. The collection is empty after it.
    boost::json::object take();

  private:
    void add(const google::protobuf::Descriptor* d);
    boost::json::object object_schema(const google::protobuf::Descriptor* d);
    void add_fields(const google::protobuf::Descriptor* d, boost::json::object* properties,
                    boost::json::array* required);
    boost::json::object property(const google::protobuf::FieldDescriptor* f, std::string_view name);
    boost::json::object value_of(const google::protobuf::FieldDescriptor* f);

    Dialect dialect_;
    std::set<const google::protobuf::Descriptor*> seen_;
    std::map<std::string, boost::json::object> all_;
};

}  // namespace api::openapi
