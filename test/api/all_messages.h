#pragma once
// Every message type of the API, and a way to fill one.

#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>

#include <memory>
#include <vector>

#include "api/codec/types.h"

namespace api_test {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// By full name; map entries left out.
std::vector<const Descriptor*> all_messages();
std::unique_ptr<Message> make(const Descriptor* descriptor);

// Sets every field, as JSON can carry it, at most `depth` messages deep.
void fill(Message* message, int depth = 6);

// A facts table as rows of cells, without its head; relative to the source tree.
std::vector<std::vector<std::string>> facts(const std::string& name);

}  // namespace api_test
