#pragma once
// Objects: Protobuf messages with ObjectMeta. In memory they are immutable and shared; who wants
// another state makes a copy, changes that, and writes it. Any thread.

#include <google/protobuf/message.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "api/proto/meta_v1.pb.h"
#include "api/scheme.h"
#include "api/v1.h"
#include "base/check.h"

namespace api {

using Message = google::protobuf::Message;
using ObjectPtr = std::shared_ptr<const Message>;
template <class T>
using Ptr = std::shared_ptr<const T>;

// The object as its type; CHECKs that it is one.
template <class T>
Ptr<T> as(const ObjectPtr& object) {
    CHECK(object == nullptr || object->GetDescriptor() == T::descriptor());
    return std::static_pointer_cast<const T>(object);
}
template <class T>
const T& as(const Message& object) {
    CHECK(object.GetDescriptor() == T::descriptor());
    return static_cast<const T&>(object);
}

// Field 1, `metadata`, of any object; CHECKs that the message has one.
const meta::ObjectMeta& meta_of(const Message& object);
meta::ObjectMeta* mutable_meta(Message* object);
// False for lists, reviews and options.
bool has_meta(const google::protobuf::Descriptor* descriptor);

std::unique_ptr<Message> clone(const Message& object);
template <class T>
std::shared_ptr<T> copy(const T& object) {
    return std::make_shared<T>(object);
}

// "namespace/name", or "name" without one: the key of queues and caches.
std::string key_of(std::string_view namespace_name, std::string_view name);
std::string key_of(const Message& object);
struct SplitKey {
    std::string namespace_name;
    std::string name;
};
SplitKey split_key(std::string_view key);

// The owner reference with controller: true; null when there is none.
const meta::OwnerReference* controller_of(const Message& object);
meta::OwnerReference controller_ref(const Message& owner);
bool is_controlled_by(const Message& object, std::string_view uid);
bool has_finalizer(const Message& object, std::string_view finalizer);
bool is_deleting(const Message& object);
std::string_view label(const Message& object, std::string_view key,
                       std::string_view otherwise = {});
std::string_view annotation(const Message& object, std::string_view key,
                            std::string_view otherwise = {});

// Wall clock, in the forms of the API.
meta::Time to_time(std::chrono::system_clock::time_point t);
meta::MicroTime to_micro_time(std::chrono::system_clock::time_point t);
std::chrono::system_clock::time_point from_time(const meta::Time& t);
std::chrono::system_clock::time_point from_time(const meta::MicroTime& t);

}  // namespace api
