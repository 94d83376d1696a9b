// Kubernetes' strategic merge: a merge patch that knows the types. Lists of objects merge by a key of their items, lists
// of scalars as sets, where the type says so; directives ($patch, $retainKeys, $setElementOrder/…,
// $deleteFromPrimitiveList/…) say the rest. Source: upstream's document on strategic merge patch.

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <boost/json.hpp>

#include "api/patch/patch.h"
#include "api/proto/options.pb.h"
#include "api/status.h"

namespace api {

namespace json = boost::json;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

namespace {

constexpr std::string_view kPatch = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kSetOrder = "$setElementOrder/";
constexpr std::string_view kDeletePrimitive = "$deleteFromPrimitiveList/";

// What the schema says of one JSON field; everything unset for one that the type does not have.
struct Field {
    const Descriptor* type = nullptr;  // of the value, of a list's items or of a map's values
    bool merges = false;
    bool replaces = false;
    bool retain_keys = false;
    std::string merge_key;
};

Field field_of(const Descriptor* d, std::string_view name) {
    Field out;
    if (d == nullptr) return out;
    for (int i = 0; i < d->field_count(); ++i) {
        const FieldDescriptor* f = d->field(i);
        const auto& traits = f->options().GetExtension(::coxswain::api::field);
        if (traits.inlined()) {
            if (f->message_type() == nullptr) continue;
            Field inner = field_of(f->message_type(), name);
            if (inner.type != nullptr || inner.merges || inner.replaces) return inner;
            continue;
        }
        if ((traits.json().empty() ? f->name() : traits.json()) != name) continue;
        out.merge_key = traits.patch_merge_key();
        out.merges = traits.patch_strategy().find("merge") != std::string::npos;
        out.replaces = traits.patch_strategy().find("replace") != std::string::npos;
        out.retain_keys = traits.patch_strategy().find("retainKeys") != std::string::npos;
        out.type = f->is_map() ? nullptr : f->message_type();
        return out;
    }
    return out;
}

base::Result<json::value> merge_value(const json::value* original, const json::value& patch, const Field& field);

std::string directive(const json::object& patch) {
    const auto* found = patch.if_contains(kPatch);
    return found != nullptr && found->is_string() ? std::string(found->as_string()) : "";
}

json::object without_directives(const json::object& in) {
    json::object out;
    for (const auto& [key, value] : in)
        if (!key.starts_with('$')) out[key] = value;
    return out;
}

// A patch that lands where there was nothing: its directives and nulls have nothing to act on.
json::value settle(const json::value& patch) {
    if (patch.is_array()) {
        json::array out;
        for (const auto& item : patch.as_array())
            if (!item.is_object() || directive(item.as_object()) != "delete") out.push_back(settle(item));
        return out;
    }
    if (!patch.is_object()) return patch;
    json::object out;
    for (const auto& [key, value] : patch.as_object())
        if (!key.starts_with('$') && !value.is_null()) out[key] = settle(value);
    return out;
}

const json::value* key_of_item(const json::value& item, const std::string& merge_key) {
    return item.is_object() ? item.as_object().if_contains(merge_key) : nullptr;
}

std::ptrdiff_t find_item(const json::array& list, const json::value& wanted, const std::string& merge_key) {
    for (std::size_t i = 0; i < list.size(); ++i) {
        const auto* key = key_of_item(list[i], merge_key);
        if (key != nullptr && *key == wanted) return static_cast<std::ptrdiff_t>(i);
    }
    return -1;
}

// Puts the items that `order` names into that order; those that only the server has stay near where they were.
void reorder(json::array* list, const json::array& order, const std::string& merge_key) {
    auto rank = [&](const json::value& item) -> std::ptrdiff_t {
        for (std::size_t i = 0; i < order.size(); ++i) {
            if (merge_key.empty() ? order[i] == item : [&] {
                    const auto* a = key_of_item(order[i], merge_key);
                    const auto* b = key_of_item(item, merge_key);
                    return a != nullptr && b != nullptr && *a == *b;
                }())
                return static_cast<std::ptrdiff_t>(i);
        }
        return -1;
    };
    std::vector<json::value> named;
    for (const auto& item : *list)
        if (rank(item) >= 0) named.push_back(item);
    std::stable_sort(named.begin(), named.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    std::size_t next = 0;
    for (auto& item : *list)
        if (rank(item) >= 0) item = named[next++];
}

base::Result<json::value> merge_objects(const json::object& original, const json::object& patch, const Descriptor* type) {
    const std::string what = directive(patch);
    if (what == "replace") return json::value(without_directives(patch));
    if (what == "delete") return json::value(json::object{});
    if (!what.empty() && what != "merge") return bad_request("unknown $patch directive: " + what);
    json::object out = original;
    if (const auto* retain = patch.if_contains(kRetainKeys); retain != nullptr && retain->is_array()) {
        json::object kept;
        for (const auto& [key, value] : out)
            if (std::find(retain->as_array().begin(), retain->as_array().end(), json::value(key)) != retain->as_array().end()) kept[key] = value;
        out = std::move(kept);
    }
    for (const auto& [key, value] : patch) {
        const std::string_view name(key.data(), key.size());
        if (!name.starts_with(kDeletePrimitive) || !value.is_array()) continue;
        auto* list = out.if_contains(name.substr(kDeletePrimitive.size()));
        if (list == nullptr || !list->is_array()) continue;
        json::array kept;
        for (const auto& item : list->as_array())
            if (std::find(value.as_array().begin(), value.as_array().end(), item) == value.as_array().end()) kept.push_back(item);
        *list = std::move(kept);
    }
    for (const auto& [key, value] : patch) {
        if (key.starts_with('$')) continue;
        if (value.is_null()) {
            out.erase(key);
            continue;
        }
        TRY(json::value merged, merge_value(out.if_contains(key), value, field_of(type, std::string_view(key.data(), key.size()))));
        out[key] = std::move(merged);
    }
    for (const auto& [key, value] : patch) {
        const std::string_view name(key.data(), key.size());
        if (!name.starts_with(kSetOrder) || !value.is_array()) continue;
        const auto list_name = name.substr(kSetOrder.size());
        auto* list = out.if_contains(list_name);
        if (list != nullptr && list->is_array()) reorder(&list->as_array(), value.as_array(), field_of(type, list_name).merge_key);
    }
    return json::value(std::move(out));
}

base::Result<json::value> merge_keyed_lists(const json::array& original, const json::array& patch, const Field& field) {
    for (const auto& item : patch)
        if (item.is_object() && directive(item.as_object()) == "replace") {
            json::array out;
            for (const auto& other : patch)
                if (other.is_object() && directive(other.as_object()).empty()) out.push_back(settle(other));
            return json::value(std::move(out));
        }
    json::array out = original;
    for (const auto& item : patch) {
        const auto* key = key_of_item(item, field.merge_key);
        if (key == nullptr) return bad_request("map: " + json::serialize(item) + " does not contain declared merge key: " + field.merge_key);
        const std::ptrdiff_t at = find_item(out, *key, field.merge_key);
        if (directive(item.as_object()) == "delete") {
            if (at >= 0) out.erase(out.begin() + at);
            continue;
        }
        if (at < 0) {
            out.push_back(settle(item));
            continue;
        }
        TRY(json::value merged, merge_objects(out[static_cast<std::size_t>(at)].as_object(), item.as_object(), field.type));
        out[static_cast<std::size_t>(at)] = std::move(merged);
    }
    return json::value(std::move(out));
}

base::Result<json::value> merge_value(const json::value* original, const json::value& patch, const Field& field) {
    if (original == nullptr || original->is_null()) return settle(patch);
    if (patch.is_object() && original->is_object()) {
        if (field.replaces && directive(patch.as_object()).empty()) return settle(patch);
        return merge_objects(original->as_object(), patch.as_object(), field.type);
    }
    if (patch.is_array() && original->is_array() && field.merges) {
        if (!field.merge_key.empty()) return merge_keyed_lists(original->as_array(), patch.as_array(), field);
        // A set of scalars.
        json::array out = original->as_array();
        for (const auto& item : patch.as_array())
            if (std::find(out.begin(), out.end(), item) == out.end()) out.push_back(item);
        return json::value(std::move(out));
    }
    return settle(patch);
}

}  // namespace

base::Result<json::value> strategic_merge_patch(const json::value& document, const json::value& patch, const Descriptor* type) {
    if (!patch.is_object()) return bad_request("a strategic merge patch is an object");
    if (!document.is_object()) return bad_request("a strategic merge patch applies to an object");
    return merge_objects(document.as_object(), patch.as_object(), type);
}

}  // namespace api
