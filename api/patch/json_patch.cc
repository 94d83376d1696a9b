// RFC 6902 and RFC 7386.

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "api/codec/json.h"
#include "api/patch/patch.h"
#include "api/status.h"

namespace api {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxOperations = 10'000;
constexpr std::size_t kMaxCopied = 3 << 20;  // bytes that all copies of a patch may add

base::Error does_not_apply(std::string why) {
    meta::Status s;
    s.set_status("Failure");
    s.set_reason("Invalid");
    s.set_code(422);
    s.set_message("the server rejected our request due to an error in our request: " +
                  std::move(why));
    return from_status(std::move(s));
}

base::Error no_patch(std::string_view why) {
    return bad_request(fmt::format("error decoding patch: {}", why));
}

using Tokens = std::vector<std::string>;

base::Result<Tokens> pointer(std::string_view text) {
    Tokens out;
    if (text.empty()) return out;
    if (text[0] != '/')
        return no_patch(fmt::format("the path \"{}\" does not begin with '/'", text));
    text.remove_prefix(1);
    for (;;) {
        const auto slash = text.find('/');
        const auto part = text.substr(0, slash);
        std::string token;
        for (std::size_t i = 0; i < part.size(); ++i) {
            const bool escape = part[i] == '~' && i + 1 < part.size();
            if (escape && part[i + 1] == '0')
                token += '~', ++i;
            else if (escape && part[i + 1] == '1')
                token += '/', ++i;
            else
                token += part[i];
        }
        out.push_back(std::move(token));
        if (slash == std::string_view::npos) return out;
        text.remove_prefix(slash + 1);
    }
}

// A position in an array; negative ones count from its end, as upstream's do. `size` itself is the
// place behind the last.
std::optional<std::size_t> position(const std::string& token, std::size_t size) {
    std::int64_t v = 0;
    const auto [end, ec] = std::from_chars(token.data(), token.data() + token.size(), v);
    if (token.empty() || ec != std::errc() || end != token.data() + token.size()) return {};
    if (v < 0) v += static_cast<std::int64_t>(size);
    if (v < 0 || static_cast<std::size_t>(v) > size) return {};
    return static_cast<std::size_t>(v);
}

json::value* child(json::value* v, const std::string& token) {
    if (auto* object = v->if_object()) return object->if_contains(token);
    if (auto* array = v->if_array()) {
        const auto at = position(token, array->size());
        return at && *at < array->size() ? &(*array)[*at] : nullptr;
    }
    return nullptr;
}

class JsonPatcher {
  public:
    explicit JsonPatcher(json::value document) : document_(std::move(document)) {}

    base::Status apply(const json::value& operation);
    json::value take() { return std::move(document_); }

  private:
    json::value* find(const Tokens& path, std::size_t depth) {
        json::value* at = &document_;
        for (std::size_t i = 0; i < depth && at != nullptr; ++i)
            at = child(at, path[i]);
        return at;
    }
    base::Status add(const Tokens& path, json::value value);
    base::Status remove(const Tokens& path);
    base::Status replace(const Tokens& path, json::value value);
    base::Status test(const Tokens& path, const json::value& value);
    base::Error missing(std::string_view op, const Tokens& path) const {
        return does_not_apply(fmt::format(
            "{} operation does not apply: doc is missing path: \"/{}\"", op, fmt::join(path, "/")));
    }

    json::value document_;
    std::size_t copied_ = 0;
};

base::Status JsonPatcher::add(const Tokens& path, json::value value) {
    if (path.empty()) {
        document_ = std::move(value);
        return {};
    }
    json::value* parent = find(path, path.size() - 1);
    if (parent == nullptr) return missing("add", path);
    if (auto* object = parent->if_object()) {
        object->insert_or_assign(path.back(), std::move(value));
        return {};
    }
    auto* array = parent->if_array();
    if (array == nullptr) return missing("add", path);
    const auto at = path.back() == "-" ? array->size() : position(path.back(), array->size());
    if (!at) return missing("add", path);
    array->insert(array->begin() + static_cast<std::ptrdiff_t>(*at), std::move(value));
    return {};
}

base::Status JsonPatcher::remove(const Tokens& path) {
    json::value* parent = path.empty() ? nullptr : find(path, path.size() - 1);
    if (parent == nullptr || child(parent, path.back()) == nullptr) return missing("remove", path);
    if (auto* object = parent->if_object()) {
        object->erase(path.back());
    } else {
        auto& array = parent->get_array();
        array.erase(array.begin() +
                    static_cast<std::ptrdiff_t>(*position(path.back(), array.size())));
    }
    return {};
}

base::Status JsonPatcher::replace(const Tokens& path, json::value value) {
    json::value* at = find(path, path.size());
    if (at == nullptr) return missing("replace", path);
    *at = std::move(value);
    return {};
}

base::Status JsonPatcher::test(const Tokens& path, const json::value& value) {
    const json::value* at = find(path, path.size());
    // What is not there is null.
    const bool same = at == nullptr ? value.is_null() : *at == value;
    if (same) return {};
    return does_not_apply(
        fmt::format("testing value /{} failed: test failed", fmt::join(path, "/")));
}

base::Status JsonPatcher::apply(const json::value& operation) {
    const auto* o = operation.if_object();
    if (o == nullptr) return no_patch("an operation is no object");
    const auto text = [&](std::string_view key) -> base::Result<std::string> {
        const auto* v = o->if_contains(key);
        if (v == nullptr || !v->is_string())
            return no_patch(fmt::format("an operation has no \"{}\"", key));
        return std::string(v->get_string());
    };
    TRY(const std::string op, text("op"));
    TRY(const std::string path_text, text("path"));
    TRY(const Tokens path, pointer(path_text));
    const auto* value = o->if_contains("value");
    if (op == "remove") return remove(path);
    if (op == "add" || op == "replace" || op == "test") {
        if (value == nullptr && op != "test")
            return no_patch(fmt::format("the operation \"{}\" has no value", op));
        if (op == "add") return add(path, *value);
        if (op == "replace") return replace(path, *value);
        return test(path, value == nullptr ? json::value() : *value);
    }
    if (op != "move" && op != "copy") return no_patch(fmt::format("Unexpected kind: {}", op));
    TRY(const std::string from_text, text("from"));
    TRY(const Tokens from, pointer(from_text));
    const json::value* source = find(from, from.size());
    if (source == nullptr) return missing(op, from);
    json::value moved = *source;
    if (op == "copy") {
        copied_ += json_text(moved).size();
        if (copied_ > kMaxCopied)
            return request_entity_too_large("the copies of the JSON patch are too large");
    } else {
        TRY_VOID(remove(from));
    }
    return add(path, std::move(moved));
}

}  // namespace

base::Result<json::value> json_patch(const json::value& document, const json::value& patch) {
    const auto* operations = patch.if_array();
    if (operations == nullptr) return no_patch("a JSON patch is an array of operations");
    if (operations->size() > kMaxOperations)
        return request_entity_too_large(
            fmt::format("The allowed maximum operations in a JSON patch is {}, got {}",
                        kMaxOperations, operations->size()));
    JsonPatcher patcher(document);
    for (const auto& operation : *operations)
        TRY_VOID(patcher.apply(operation));
    return patcher.take();
}

json::value merge_patch(const json::value& document, const json::value& patch) {
    const auto* changes = patch.if_object();
    if (changes == nullptr) return patch;
    json::object out = document.is_object() ? document.get_object() : json::object();
    for (const auto& [key, change] : *changes) {
        if (change.is_null()) {
            out.erase(key);
        } else {
            const auto* before = out.if_contains(key);
            out.insert_or_assign(key,
                                 merge_patch(before == nullptr ? json::value() : *before, change));
        }
    }
    return out;
}

}  // namespace api
