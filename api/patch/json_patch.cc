// RFC 6902 and RFC 7386. Boost.JSON has the pointer (RFC 6901), the operations are ours.

#include <boost/json.hpp>
#include <optional>

#include "api/patch/patch.h"
#include "api/status.h"

namespace api {

namespace json = boost::json;

namespace {

base::Error cannot_apply(const std::string& why) {
    k8s::io::apimachinery::pkg::apis::meta::v1::Status status;
    status.set_status("Failure");
    status.set_code(422);
    status.set_reason("Invalid");
    status.set_message("the server rejected our request due to an error in our request: " + why);
    return from_status(std::move(status));
}

std::vector<std::string> pointer_of(std::string_view path) {
    std::vector<std::string> out;
    while (!path.empty()) {
        path.remove_prefix(1);
        const auto slash = path.find('/');
        std::string token;
        const auto raw = path.substr(0, slash);
        for (std::size_t i = 0; i < raw.size(); ++i) {
            const bool escape = raw[i] == '~' && i + 1 < raw.size();
            if (escape && raw[i + 1] == '0') token += '~', ++i;
            else if (escape && raw[i + 1] == '1') token += '/', ++i;
            else token += raw[i];
        }
        out.push_back(std::move(token));
        if (slash == std::string_view::npos) break;
        path.remove_prefix(slash);
    }
    return out;
}

// An index below `limit`; nullopt for anything else (leading zeros, too).
std::optional<std::size_t> index_of(const std::string& token, std::size_t limit) {
    if (token.empty() || token.size() > 9 || (token.size() > 1 && token[0] == '0')) return std::nullopt;
    std::size_t n = 0;
    for (char c : token) {
        if (c < '0' || c > '9') return std::nullopt;
        n = n * 10 + static_cast<std::size_t>(c - '0');
    }
    return n < limit ? std::optional(n) : std::nullopt;
}

json::value* find(json::value* at, const std::vector<std::string>& path, std::size_t depth) {
    for (std::size_t i = 0; i < depth; ++i) {
        if (at->is_object()) {
            at = at->as_object().if_contains(path[i]);
        } else if (at->is_array()) {
            const auto n = index_of(path[i], at->as_array().size());
            at = n ? &at->as_array()[*n] : nullptr;
        } else {
            at = nullptr;
        }
        if (at == nullptr) return nullptr;
    }
    return at;
}

base::Status add(json::value* document, const std::string& text, json::value value) {
    const auto path = pointer_of(text);
    if (path.empty()) return *document = std::move(value), base::Status();
    json::value* parent = find(document, path, path.size() - 1);
    const std::string& last = path.back();
    if (parent != nullptr && parent->is_object()) return parent->as_object()[last] = std::move(value), base::Status();
    if (parent != nullptr && parent->is_array()) {
        auto& list = parent->as_array();
        if (last == "-") return list.push_back(std::move(value)), base::Status();
        if (const auto n = index_of(last, list.size() + 1)) return list.insert(list.begin() + static_cast<std::ptrdiff_t>(*n), std::move(value)), base::Status();
    }
    return cannot_apply("add operation does not apply: doc is missing path: " + text);
}

base::Result<json::value> remove(json::value* document, const std::string& text) {
    const auto path = pointer_of(text);
    if (path.empty()) return cannot_apply("remove operation does not apply: the document itself cannot be removed");
    json::value* parent = find(document, path, path.size() - 1);
    const std::string& last = path.back();
    if (parent != nullptr && parent->is_object()) {
        auto& object = parent->as_object();
        if (auto* found = object.if_contains(last)) {
            json::value out = std::move(*found);
            object.erase(last);
            return out;
        }
    }
    if (parent != nullptr && parent->is_array()) {
        auto& list = parent->as_array();
        if (const auto n = index_of(last, list.size())) {
            json::value out = std::move(list[*n]);
            list.erase(list.begin() + static_cast<std::ptrdiff_t>(*n));
            return out;
        }
    }
    return cannot_apply("remove operation does not apply: doc is missing path: " + text);
}

base::Result<std::string> text_member(const json::object& op, const char* name) {
    const auto* found = op.if_contains(name);
    if (found == nullptr || !found->is_string()) return bad_request(std::string("a JSON patch operation has no ") + name);
    std::string out(found->as_string());
    if (std::string_view(name) != "op" && !out.empty() && out[0] != '/') return bad_request("\"" + out + "\" is no JSON pointer");
    return out;
}

base::Status apply(json::value* document, const json::object& op) {
    TRY(const std::string verb, text_member(op, "op"));
    TRY(const std::string path, text_member(op, "path"));
    const auto* value = op.if_contains("value");
    if (verb == "add" || verb == "replace" || verb == "test")
        if (value == nullptr) return bad_request("a JSON patch operation " + verb + " has no value");
    if (verb == "add") return add(document, path, *value);
    if (verb == "remove") {
        TRY(auto removed, remove(document, path));
        return {};
    }
    const auto pointer = pointer_of(path);
    if (verb == "replace") {
        json::value* at = find(document, pointer, pointer.size());
        if (at == nullptr) return cannot_apply("replace operation does not apply: doc is missing key: " + path);
        return *at = *value, base::Status();
    }
    if (verb == "test") {
        const json::value* at = find(document, pointer, pointer.size());
        // A missing member is as good as null.
        if (at == nullptr ? value->is_null() : *at == *value) return {};
        return cannot_apply("testing value " + path + " failed: test failed");
    }
    if (verb != "move" && verb != "copy") return bad_request("a JSON patch has the unknown operation " + verb);
    TRY(const std::string from, text_member(op, "from"));
    if (verb == "move") {
        if (path.starts_with(from + "/")) return cannot_apply("move operation does not apply: " + path + " is inside of " + from);
        TRY(json::value moved, remove(document, from));
        return add(document, path, std::move(moved));
    }
    const auto source_path = pointer_of(from);
    const json::value* source = find(document, source_path, source_path.size());
    if (source == nullptr) return cannot_apply("copy operation does not apply: doc is missing path: " + from);
    return add(document, path, json::value(*source));
}

}  // namespace

base::Result<json::value> json_patch(const json::value& document, const json::value& patch) {
    // A patch copies what it names: a bound keeps a small one from making a document of any size.
    constexpr std::size_t kMaxOperations = 10000;
    if (!patch.is_array()) return bad_request("a JSON patch is a list of operations");
    if (patch.as_array().size() > kMaxOperations) return request_entity_too_large("the patch has more than 10000 operations");
    json::value out = document;
    for (const auto& op : patch.as_array()) {
        if (!op.is_object()) return bad_request("a JSON patch is a list of operations");
        TRY_VOID(apply(&out, op.as_object()));
    }
    return out;
}

json::value merge_patch(const json::value& document, const json::value& patch) {
    if (!patch.is_object()) return patch;
    json::value out = document.is_object() ? document : json::value(json::object{});
    for (const auto& [key, value] : patch.as_object()) {
        if (value.is_null())
            out.as_object().erase(key);
        else
            out.as_object()[key] = merge_patch(out.as_object().contains(key) ? out.as_object().at(key) : json::value(), value);
    }
    return out;
}

}  // namespace api
