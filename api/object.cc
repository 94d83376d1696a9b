#include "api/object.h"

namespace api {
namespace {

const google::protobuf::FieldDescriptor* meta_field(const google::protobuf::Descriptor* d) {
    const auto* field = d->FindFieldByNumber(1);
    return field != nullptr && !field->is_repeated() &&
                   field->message_type() == meta::ObjectMeta::descriptor()
               ? field
               : nullptr;
}

template <class T>
T make_time(std::chrono::system_clock::time_point t) {
    const auto since = t.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    T out;
    out.set_seconds(seconds.count());
    out.set_nanos(static_cast<std::int32_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count()));
    return out;
}

template <class T>
std::chrono::system_clock::time_point read_time(const T& t) {
    return std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::seconds(t.seconds()) + std::chrono::nanoseconds(t.nanos())));
}

template <class Map>
std::string_view look_up(const Map& map, std::string_view key, std::string_view otherwise) {
    const auto it = map.find(std::string(key));
    return it == map.end() ? otherwise : std::string_view(it->second);
}

}  // namespace

bool has_meta(const google::protobuf::Descriptor* d) {
    return meta_field(d) != nullptr;
}

const meta::ObjectMeta& meta_of(const Message& object) {
    const auto* field = meta_field(object.GetDescriptor());
    CHECK(field != nullptr, "{} has no metadata", object.GetTypeName());
    return static_cast<const meta::ObjectMeta&>(object.GetReflection()->GetMessage(object, field));
}

meta::ObjectMeta* mutable_meta(Message* object) {
    const auto* field = meta_field(object->GetDescriptor());
    CHECK(field != nullptr, "{} has no metadata", object->GetTypeName());
    return static_cast<meta::ObjectMeta*>(object->GetReflection()->MutableMessage(object, field));
}

std::unique_ptr<Message> clone(const Message& object) {
    std::unique_ptr<Message> out(object.New());
    out->CopyFrom(object);
    return out;
}

std::string key_of(std::string_view namespace_name, std::string_view name) {
    std::string out(namespace_name);
    if (!out.empty()) out += '/';
    out += name;
    return out;
}

std::string key_of(const Message& object) {
    const auto& m = meta_of(object);
    return key_of(m.namespace_(), m.name());
}

SplitKey split_key(std::string_view key) {
    const auto slash = key.find('/');
    if (slash == std::string_view::npos) return {"", std::string(key)};
    return {std::string(key.substr(0, slash)), std::string(key.substr(slash + 1))};
}

const meta::OwnerReference* controller_of(const Message& object) {
    for (const auto& owner : meta_of(object).ownerreferences())
        if (owner.controller()) return &owner;
    return nullptr;
}

meta::OwnerReference controller_ref(const Message& owner) {
    const auto& info = resource_of(owner.GetDescriptor());
    meta::OwnerReference out;
    out.set_apiversion(info.api_version());
    out.set_kind(std::string(info.kind));
    out.set_name(meta_of(owner).name());
    out.set_uid(meta_of(owner).uid());
    out.set_controller(true);
    out.set_blockownerdeletion(true);
    return out;
}

bool is_controlled_by(const Message& object, std::string_view uid) {
    const auto* owner = controller_of(object);
    return owner != nullptr && owner->uid() == uid;
}

bool has_finalizer(const Message& object, std::string_view finalizer) {
    const auto& all = meta_of(object).finalizers();
    return std::find(all.begin(), all.end(), finalizer) != all.end();
}

bool is_deleting(const Message& object) {
    return meta_of(object).has_deletiontimestamp();
}

std::string_view label(const Message& object, std::string_view key, std::string_view otherwise) {
    return look_up(meta_of(object).labels(), key, otherwise);
}

std::string_view annotation(const Message& object, std::string_view key,
                            std::string_view otherwise) {
    return look_up(meta_of(object).annotations(), key, otherwise);
}

meta::Time to_time(std::chrono::system_clock::time_point t) {
    return make_time<meta::Time>(t);
}
meta::MicroTime to_micro_time(std::chrono::system_clock::time_point t) {
    return make_time<meta::MicroTime>(t);
}
std::chrono::system_clock::time_point from_time(const meta::Time& t) {
    return read_time(t);
}
std::chrono::system_clock::time_point from_time(const meta::MicroTime& t) {
    return read_time(t);
}

}  // namespace api
