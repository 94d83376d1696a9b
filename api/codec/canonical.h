#pragma once
// When a value counts as unset, for the parts of the codec. Pure.

#include <google/protobuf/message.h>

#include "api/codec/types.h"

namespace api::codec {

// Of a struct that is no pointer: written though it is unset, and so not to be told from unset.
bool is_zero_value(const Message& m, const TypeInfo& info);

}  // namespace api::codec
