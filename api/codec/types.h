#pragma once
// The codec's tables: of each message type, how its JSON looks. Built once a type, when it is first
// needed, from the descriptor and its options; then constant for the life of the process. Any
// thread.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/map_field.h>
#include <google/protobuf/message.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace api::codec {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// What a message is in JSON.
enum class Form {
    kObject,
    kQuantity,     // string
    kTime,         // RFC 3339, seconds
    kMicroTime,    // RFC 3339, microseconds
    kDuration,     // Go's "1h2m3s"
    kIntOrString,  // number or string
    kRawJson,      // the JSON that its bytes are
    kStringArray,  // its only field, a list of strings
    kSchemaOrArray,
    kSchemaOrBool,
    kSchemaOrStringArray,
};

struct TypeInfo;

struct FieldInfo {
    const FieldDescriptor* field = nullptr;
    std::string name;  // in JSON; empty when inlined or not in JSON
    std::string key;   // "name": as it is written
    FieldDescriptor::CppType cpp_type = FieldDescriptor::CPPTYPE_STRING;  // a map's: its value's
    FieldDescriptor::Type type = FieldDescriptor::TYPE_STRING;            // the same
    const Descriptor* message = nullptr;                                  // the same
    bool map = false;
    bool repeated = false;
    bool inlined = false;
    bool always = false;
    bool pointer = false;
    // kind and apiVersion stand in these nested objects, too (StatefulSet's claim templates).
    const char* nested_kind = nullptr;

    // The type of the message. `message` is not null.
    const TypeInfo& child() const;

  private:
    mutable std::atomic<const TypeInfo*> child_{nullptr};
};

// A JSON key of an object and where its value goes.
struct Slot {
    std::vector<const FieldDescriptor*> through;  // inlined messages, outermost first
    const FieldInfo* field = nullptr;             // null: kind or apiVersion
    std::size_t index = 0;                        // in the object
};

inline constexpr std::size_t kMaxSlots = 128;

struct TypeInfo {
    const Descriptor* descriptor = nullptr;
    Form form = Form::kObject;
    bool type_meta = false;
    std::unique_ptr<FieldInfo[]> fields;
    std::size_t field_count = 0;
    std::unordered_map<std::string_view, Slot> slots;  // by JSON name

    const FieldInfo* begin() const { return fields.get(); }
    const FieldInfo* end() const { return fields.get() + field_count; }
};

const TypeInfo& type_info(const Descriptor* descriptor);

// One T for each message type, made when it is first asked for, kept for the life of the process.
// Any thread, no lock: two threads may make the same one, and one of them is thrown away. For
// static storage only.
template <class T>
class PerType {
  public:
    // `make(descriptor)` answers a std::unique_ptr<const T>; it may ask for other types.
    template <class Make>
    const T& get(const Descriptor* d, Make make) {
        std::size_t at = std::hash<const void*>{}(d) / 16 % kPlaces;
        std::unique_ptr<const Entry> made;
        for (;; at = (at + 1) % kPlaces) {
            const Entry* have = places_[at].load(std::memory_order_acquire);
            if (have == nullptr) {
                if (!made) made = std::unique_ptr<const Entry>(new Entry{d, make(d)});
                if (places_[at].compare_exchange_strong(have, made.get(),
                                                        std::memory_order_acq_rel))
                    return *made.release()->value;
            }
            if (have->descriptor == d) return *have->value;
        }
    }

  private:
    struct Entry {
        const Descriptor* descriptor;
        std::unique_ptr<const T> value;
    };
    // Several times as many as there are types: there is always a free one.
    static constexpr std::size_t kPlaces = 4096;
    std::array<std::atomic<const Entry*>, kPlaces> places_{};
};

// The descriptor tables of the .proto files; see proto_files.cc.
const void* const* message_files();

// "v1.Pod": how Go calls the type.
std::string go_type(const Descriptor* descriptor);
// "string", "[]v1.Container", "map[string]string".
std::string go_type(const FieldInfo& field);

// A map's entries without building its list form, which would hold everything twice.
google::protobuf::MapIterator map_begin(const Message& m, const FieldDescriptor* f);
google::protobuf::MapIterator map_end(const Message& m, const FieldDescriptor* f);
int map_size(const Message& m, const FieldDescriptor* f);
// Adds the entry, or finds the one there is.
google::protobuf::MapValueRef map_value(Message* m, const FieldDescriptor* f,
                                        const std::string& key, bool* added);

}  // namespace api::codec
