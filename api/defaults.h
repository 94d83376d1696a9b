#pragma once
// Upstream's defaults, set on an object that was just read. Pure; any thread.

#include <google/protobuf/message.h>

namespace api {

// Fills what is unset with the defaults of the object's kind; nothing for kinds that have none.
// Lists are defaulted item by item. Idempotent.
void set_defaults(google::protobuf::Message* object);

}  // namespace api
