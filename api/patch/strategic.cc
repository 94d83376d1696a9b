// Kubernetes' strategic merge patch. What is merged how is in the options of the type's fields; the
// directives are those that kubectl writes.

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <set>
#include <unordered_map>

#include "api/codec/json.h"
#include "api/codec/types.h"
#include "api/patch/patch.h"
#include "api/proto/options.pb.h"
#include "api/status.h"

namespace api {
namespace {

namespace json = boost::json;

constexpr std::string_view kDirective = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kDeleteFrom = "$deleteFromPrimitiveList/";
constexpr std::string_view kOrder = "$setElementOrder/";

// What is known of a value's type: a struct, or nothing (maps and free JSON, whose values are
// replaced).
struct Schema {
    const codec::TypeInfo* type = nullptr;
};

// What is known of a field.
struct FieldSchema {
    Schema value;  // of the field, or of the elements
    bool merge = false;
    bool replace = false;
    std::string merge_key;
};

base::Error unprocessable(std::string message) {
    meta::Status s;
    s.set_status("Failure");
    s.set_reason("Invalid");
    s.set_code(422);
    s.set_message(std::move(message));
    return from_status(std::move(s));
}

base::Error no_merge_key(const json::value& element, std::string_view key) {
    return bad_request(
        fmt::format("map: {} does not contain declared merge key: {}", json_text(element), key));
}

base::Error bad_directive(const json::value& directive, const json::value& where) {
    return bad_request(
        fmt::format("unknown patch type: {} in map: {}", json_text(directive), json_text(where)));
}

base::Result<FieldSchema> look_up(const Schema& schema, std::string_view key) {
    FieldSchema out;
    if (schema.type == nullptr || schema.type->form != codec::Form::kObject) return out;
    const auto it = schema.type->slots.find(key);
    if (it == schema.type->slots.end())
        return unprocessable(
            fmt::format("unable to find api field in struct {} for the json field \"{}\"",
                        schema.type->descriptor->name(), key));
    const codec::FieldInfo* f = it->second.field;
    if (f == nullptr) return out;
    if (f->message != nullptr && !f->map) out.value.type = &f->child();
    const auto& traits = f->field->options().GetExtension(coxswain::api::field);
    const std::string& strategy = traits.patch_strategy();
    out.merge = strategy.find("merge") != std::string::npos;
    out.replace = strategy.find("replace") != std::string::npos;
    out.merge_key = traits.patch_merge_key();
    return out;
}

bool is_directive(std::string_view key) {
    return key == kDirective || key == kRetainKeys || key.starts_with(kDeleteFrom) ||
           key.starts_with(kOrder);
}

bool has_directive(const json::value& v) {
    const auto* object = v.if_object();
    return object != nullptr && object->contains(kDirective);
}

// What a patch says where there is nothing to merge with: neither directives nor nulls, nor objects
// that are a directive.
json::value plain(const json::value& v) {
    if (const auto* object = v.if_object()) {
        json::object out;
        for (const auto& [key, item] : *object)
            if (!is_directive(key) && !item.is_null() && !has_directive(item))
                out.insert_or_assign(key, plain(item));
        return out;
    }
    if (const auto* array = v.if_array()) {
        json::array out;
        for (const auto& item : *array)
            if (!has_directive(item)) out.push_back(plain(item));
        return out;
    }
    return v;
}

const json::value* key_of(const json::value& element, std::string_view merge_key) {
    const auto* object = element.if_object();
    return object == nullptr ? nullptr : object->if_contains(merge_key);
}

// What makes two elements of a list the same one: their key, or, without one, their value.
std::optional<std::string> identity(const json::value& element, std::string_view merge_key) {
    if (merge_key.empty()) return json_text(element);
    const auto* key = key_of(element, merge_key);
    if (key == nullptr) return {};
    return json_text(*key);
}

// Where in a list an element stands: the first that is the same one.
class Positions {
  public:
    Positions(const json::array& list, std::string_view merge_key) : merge_key_(merge_key) {
        for (std::size_t i = 0; i < list.size(); ++i)
            add(list[i], i);
    }
    void add(const json::value& element, std::size_t at) {
        if (auto id = identity(element, merge_key_)) places_.emplace(std::move(*id), at);
    }
    std::optional<std::size_t> find(const json::value& element) const {
        const auto id = identity(element, merge_key_);
        if (!id) return {};
        const auto it = places_.find(*id);
        if (it == places_.end()) return {};
        return it->second;
    }

  private:
    std::string_view merge_key_;
    std::unordered_map<std::string, std::size_t> places_;
};

// The list in the order that a patch asks for (`wanted`): its elements in that order; those that
// only the server has stay before what they stood before (`before`).
json::array ordered(const json::array& list, const json::array& wanted, const json::array& before,
                    std::string_view merge_key) {
    struct Item {
        const json::value* value;
        std::size_t rank;                  // in the list that decides its order
        std::optional<std::size_t> place;  // before
    };
    const Positions wanted_at(wanted, merge_key);
    const Positions before_at(before, merge_key);
    std::vector<Item> patched;
    std::vector<Item> kept;
    for (const auto& item : list) {
        const auto place = before_at.find(item);
        if (const auto rank = wanted_at.find(item))
            patched.push_back({&item, *rank, place});
        else
            kept.push_back({&item, place.value_or(before.size()), place});
    }
    const auto by_rank = [](const Item& a, const Item& b) { return a.rank < b.rank; };
    std::stable_sort(patched.begin(), patched.end(), by_rank);
    std::stable_sort(kept.begin(), kept.end(), by_rank);
    json::array out;
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < kept.size() || j < patched.size()) {
        bool take_kept = j >= patched.size();
        if (!take_kept && i < kept.size())
            take_kept = kept[i].place && patched[j].place && *kept[i].place < *patched[j].place;
        out.push_back(*(take_kept ? kept[i++] : patched[j++]).value);
    }
    return out;
}

class StrategicMerger {
  public:
    base::Result<json::object> merge(json::object original, json::object patch,
                                     const Schema& schema);

  private:
    static base::Status retain_keys(json::object* original, json::object* patch);
    static base::Status delete_from_list(json::object* original, std::string_view key,
                                         const json::value& doomed);
    base::Status apply_order(json::object* original, json::object* patch, const Schema& schema);
    base::Status merge_field(json::object* original, std::string_view key,
                             const json::value& change, const Schema& schema);
    base::Result<json::array> merge_list(const json::array& original, const json::array& patch,
                                         const FieldSchema& field);
    base::Result<json::array> merge_elements(json::array original, const json::array& patch,
                                             const FieldSchema& field);
};

// Keys that the list does not name leave the original.
base::Status StrategicMerger::retain_keys(json::object* original, json::object* patch) {
    const auto* listed = patch->if_contains(kRetainKeys);
    if (listed == nullptr) return {};
    const auto* names = listed->if_array();
    if (names == nullptr) return bad_request("invalid patch format of retainKeys");
    std::set<std::string, std::less<>> kept;
    for (const auto& name : *names) {
        if (!name.is_string()) return bad_request("invalid patch format of retainKeys");
        kept.emplace(name.get_string());
    }
    for (const auto& [key, value] : *patch)
        if (!is_directive(key) && !value.is_null() &&
            kept.find(std::string_view(key)) == kept.end())
            return bad_request("invalid patch format of retainKeys");
    std::vector<std::string> doomed;
    for (const auto& [key, value] : *original)
        if (kept.find(std::string_view(key)) == kept.end()) doomed.emplace_back(key);
    for (const auto& key : doomed)
        original->erase(key);
    patch->erase(kRetainKeys);
    return {};
}

base::Status StrategicMerger::delete_from_list(json::object* original, std::string_view key,
                                               const json::value& doomed) {
    const auto* values = doomed.if_array();
    if (values == nullptr) return bad_request("invalid patch format of primitive list");
    auto* list = original->if_contains(key);
    if (list == nullptr || !list->is_array()) return {};
    json::array left;
    const Positions doomed_at(*values, "");
    for (const auto& item : list->get_array())
        if (!doomed_at.find(item)) left.push_back(item);
    *list = std::move(left);
    return {};
}

base::Status StrategicMerger::apply_order(json::object* original, json::object* patch,
                                          const Schema& schema) {
    std::vector<std::string> directives;
    for (const auto& [key, value] : *patch)
        if (std::string_view(key).starts_with(kOrder)) directives.emplace_back(key);
    for (const auto& directive : directives) {
        const json::value wanted = patch->at(directive);
        patch->erase(directive);
        const std::string key = directive.substr(kOrder.size());
        if (!wanted.is_array() || key.empty())
            return bad_request("invalid patch format of setElementOrder list");
        TRY(const FieldSchema field, look_up(schema, key));
        const auto list_in = [&](const json::object& o) {
            const auto* v = o.if_contains(key);
            return v == nullptr ? nullptr : v->if_array();
        };
        const json::array* before = list_in(*original);
        const json::array* changes = list_in(*patch);
        if (before == nullptr && changes == nullptr) continue;
        const json::array old = before == nullptr ? json::array() : *before;
        json::array merged = old;
        if (changes != nullptr) {
            const Positions wanted_at(wanted.get_array(), field.merge_key);
            for (const auto& item : *changes) {
                if (has_directive(item)) continue;
                if (!wanted_at.find(item))
                    return bad_request(
                        fmt::format("The order in patch list:\n{}\n doesn't match {} "
                                    "list:\n{}\n",
                                    json_text(*changes), "$setElementOrder", json_text(wanted)));
            }
            if (field.merge) {
                TRY(merged, merge_list(old, *changes, field));
            } else {
                merged = plain(*changes).get_array();
            }
            patch->erase(key);
        }
        original->insert_or_assign(key, ordered(merged, wanted.get_array(), old, field.merge_key));
    }
    return {};
}

base::Result<json::object> StrategicMerger::merge(json::object original, json::object patch,
                                                  const Schema& schema) {
    if (const auto* directive = patch.if_contains(kDirective)) {
        const auto* text = directive->if_string();
        if (text != nullptr && *text == "replace") {
            patch.erase(kDirective);
            return patch;
        }
        if (text != nullptr && *text == "delete") return json::object();
        if (text == nullptr || *text != "merge") return bad_directive(*directive, patch);
        patch.erase(kDirective);
    }
    TRY_VOID(retain_keys(&original, &patch));
    TRY_VOID(apply_order(&original, &patch, schema));
    for (const auto& [key, change] : patch) {
        const std::string_view name = key;
        if (name.starts_with(kDeleteFrom)) {
            TRY_VOID(delete_from_list(&original, name.substr(kDeleteFrom.size()), change));
            continue;
        }
        TRY_VOID(merge_field(&original, name, change, schema));
    }
    return original;
}

base::Status StrategicMerger::merge_field(json::object* original, std::string_view key,
                                          const json::value& change, const Schema& schema) {
    if (change.is_null()) {
        original->erase(key);
        return {};
    }
    json::value* before = original->if_contains(key);
    const bool objects = before != nullptr && before->is_object() && change.is_object();
    const bool arrays = before != nullptr && before->is_array() && change.is_array();
    if (!objects && !arrays) {
        if (has_directive(change))
            original->erase(key);
        else
            original->insert_or_assign(key, plain(change));
        return {};
    }
    TRY(const FieldSchema field, look_up(schema, key));
    if (objects && !field.replace) {
        TRY(json::object merged,
            merge(std::move(before->get_object()), change.get_object(), field.value));
        *before = std::move(merged);
    } else if (arrays && field.merge) {
        TRY(json::array merged, merge_list(before->get_array(), change.get_array(), field));
        *before = std::move(merged);
    } else {
        *before = objects ? change : plain(change);
    }
    return {};
}

base::Result<json::array> StrategicMerger::merge_list(const json::array& original,
                                                      const json::array& patch,
                                                      const FieldSchema& field) {
    if (original.empty() && patch.empty()) return original;
    const bool of_objects = (patch.empty() ? original : patch)[0].is_object();
    const json::array& first = patch.empty() ? original : patch;
    for (const auto& item : first) {
        if (item.is_array()) return unprocessable("lists of lists are not supported");
        if (item.is_object() != of_objects)
            return unprocessable("list element types are not identical");
    }
    if (of_objects) return merge_elements(original, patch, field);
    json::array merged;
    std::set<std::string> seen;
    for (const auto* list : {&original, &patch})
        for (const auto& item : *list)
            if (seen.insert(json_text(item)).second) merged.push_back(item);
    return ordered(merged, patch, original, "");
}

base::Result<json::array> StrategicMerger::merge_elements(json::array original,
                                                          const json::array& patch,
                                                          const FieldSchema& field) {
    if (field.merge_key.empty())
        return unprocessable("cannot merge lists without merge key for type " +
                             (field.value.type == nullptr ? std::string("unknown")
                                                          : field.value.type->descriptor->name()));
    const json::array before = original;
    json::array changes;
    json::array doomed;
    bool replace = false;
    for (const auto& element : patch) {
        const auto* object = element.if_object();
        if (object == nullptr) return unprocessable("list element types are not identical");
        const auto* directive = object->if_contains(kDirective);
        if (directive == nullptr) {
            changes.push_back(element);
            continue;
        }
        const auto* text = directive->if_string();
        if (text != nullptr && *text == "replace") {
            replace = true;
        } else if (text != nullptr && *text == "delete") {
            if (key_of(element, field.merge_key) == nullptr)
                return no_merge_key(element, field.merge_key);
            doomed.push_back(element);
        } else if (text != nullptr && *text == "merge") {
            return bad_request("merging lists cannot yet be specified in the patch");
        } else {
            return bad_directive(*directive, element);
        }
    }
    if (replace) return plain(changes).get_array();
    const Positions doomed_at(doomed, field.merge_key);
    original.clear();
    for (const auto& element : before)
        if (!doomed_at.find(element)) original.push_back(element);
    Positions at(original, field.merge_key);
    for (const auto& change : changes) {
        if (key_of(change, field.merge_key) == nullptr)
            return no_merge_key(change, field.merge_key);
        if (const auto i = at.find(change)) {
            TRY(json::object merged,
                merge(std::move(original[*i].get_object()), change.get_object(), field.value));
            original[*i] = std::move(merged);
        } else {
            original.push_back(plain(change));
            at.add(change, original.size() - 1);
        }
    }
    return ordered(original, changes, before, field.merge_key);
}

}  // namespace

base::Result<json::value> strategic_merge_patch(const json::value& document,
                                                const json::value& patch,
                                                const google::protobuf::Descriptor* type) {
    if (!patch.is_object())
        return bad_request(
            fmt::format("json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                        patch.is_array()    ? "array"
                        : patch.is_string() ? "string"
                                            : "value"));
    json::object original = document.is_object() ? document.get_object() : json::object();
    TRY(json::object merged, StrategicMerger().merge(std::move(original), patch.get_object(),
                                                     Schema{&codec::type_info(type)}));
    return json::value(std::move(merged));
}

}  // namespace api
