#include "test/support/history_file.h"

#include <fmt/format.h>

#include <boost/json.hpp>

namespace linearizable {
namespace {

namespace json = boost::json;

base::Error wrong(std::string_view field, std::string_view what) {
    return base::invalid_argument(fmt::format("{}: {}", field, what));
}

base::Result<std::optional<std::int64_t>> number(const json::object& o, const char* field) {
    const json::value* v = o.if_contains(field);
    if (v == nullptr || v->is_null()) return std::optional<std::int64_t>();
    boost::system::error_code ec;
    const auto n = v->to_number<std::int64_t>(ec);
    if (ec) return wrong(field, "not a whole number");
    return std::optional<std::int64_t>(n);
}

base::Result<std::int64_t> needed_number(const json::object& o, const char* field) {
    TRY(const auto n, number(o, field));
    if (!n) return wrong(field, "is missing");
    return *n;
}

base::Result<std::optional<std::string>> text(const json::object& o, const char* field) {
    const json::value* v = o.if_contains(field);
    if (v == nullptr || v->is_null()) return std::optional<std::string>();
    if (!v->is_string()) return wrong(field, "not a string");
    return std::optional<std::string>(std::string(v->get_string()));
}

base::Result<std::optional<bool>> flag(const json::object& o, const char* field) {
    const json::value* v = o.if_contains(field);
    if (v == nullptr || v->is_null()) return std::optional<bool>();
    if (!v->is_bool()) return wrong(field, "neither true nor false");
    return std::optional<bool>(v->get_bool());
}

base::Result<Kind> kind_of(std::string_view name) {
    if (name == "get") return Kind::kGet;
    if (name == "put") return Kind::kPut;
    if (name == "delete") return Kind::kDelete;
    if (name == "cas") return Kind::kCas;
    return wrong("op", fmt::format("'{}' is none of get, put, delete, cas", name));
}

base::Status read_answer(const json::object& o, Operation* out) {
    TRY(const auto succeeded, flag(o, "succeeded"));
    const bool says = out->kind == Kind::kCas || out->kind == Kind::kDelete;
    if (says && !succeeded) return wrong("succeeded", "is missing");
    out->succeeded = succeeded.value_or(false);
    TRY(const auto revision, number(o, "revision"));
    out->revision = revision.value_or(0);
    TRY(const auto found, flag(o, "found"));
    if (!found && out->kind == Kind::kGet) return wrong("found", "is missing");
    if (!found) return {};
    TRY(const auto value, text(o, "seen_value"));
    TRY(const auto mod, number(o, "seen_mod_revision"));
    if (*found && !value) return wrong("seen_value", "is missing");
    out->seen = Seen{*found, value.value_or(""), mod.value_or(0)};
    return {};
}

base::Result<Operation> read_operation(const json::object& o) {
    Operation out;
    TRY(const auto process, needed_number(o, "process"));
    out.process = static_cast<std::uint64_t>(process);
    TRY(const auto key, text(o, "key"));
    if (!key) return wrong("key", "is missing");
    out.key = *key;
    TRY(const auto op, text(o, "op"));
    TRY(out.kind, kind_of(op.value_or("")));
    TRY(out.value, text(o, "value"));
    if (out.kind == Kind::kPut && !out.value) return wrong("value", "is missing");
    if (out.kind == Kind::kCas) {
        TRY(out.expected, needed_number(o, "expected"));
    }
    TRY(const auto invoked, needed_number(o, "invoked_us"));
    out.invoked_us = static_cast<std::uint64_t>(invoked);
    TRY(const auto returned, number(o, "returned_us"));
    if (!returned) return out;
    if (*returned < invoked) return wrong("returned_us", "is before invoked_us");
    out.returned_us = static_cast<std::uint64_t>(*returned);
    TRY_VOID(read_answer(o, &out));
    return out;
}

}  // namespace

base::Result<std::vector<Operation>> parse_history(std::string_view text) {
    std::vector<Operation> out;
    for (std::size_t line = 1; !text.empty(); ++line) {
        const std::string_view one = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), one.size() + 1));
        if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        boost::system::error_code ec;
        const json::value v = json::parse(one, ec);
        if (ec || !v.is_object())
            return base::invalid_argument(fmt::format("line {} is not a JSON object", line));
        auto operation = read_operation(v.get_object());
        if (!operation)
            return base::invalid_argument(
                fmt::format("line {}: {}", line, operation.error().message));
        out.push_back(std::move(*operation));
    }
    return out;
}

}  // namespace linearizable
