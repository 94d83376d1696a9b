#pragma once
// The parts of api/defaults.cc, for each other only.

#include <google/protobuf/message.h>

#include <string_view>

namespace api::defaults {

// A field of a type that has a constant default wherever the type stands. `type` without
// "k8s.io.api.", `field` as in Protobuf. `value`: text, a number, true or false, or {} for a
// message.
struct Rule {
    std::string_view type;
    std::string_view field;
    std::string_view value;
};
std::pair<const Rule*, std::size_t> rules();

// Runs on each message of its type, before its rules and before what is inside it.
using Hook = void (*)(google::protobuf::Message*);
// Null when the type has none. The name as in Rule.
Hook core_hook(std::string_view type);
Hook workload_hook(std::string_view type);
Hook other_hook(std::string_view type);

}  // namespace api::defaults
