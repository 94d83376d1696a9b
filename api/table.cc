#include "api/table.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <map>

#include "api/codec/json.h"
#include "api/conversion/conversion.h"
#include "api/table_cells.h"

namespace api {

namespace json = boost::json;

namespace {

struct Column {
    std::string_view kind;
    std::string_view name;
    std::string_view type;
    std::string_view format;
    int priority;
};
constexpr Column kColumns[] = {
#include "api/columns.inc"
};
constexpr Column kDefault[] = {{"", "Name", "string", "name", 0},
                               {"", "Created At", "date", "", 0}};

json::string text(std::string_view s) {
    return json::string(s.data(), s.size());
}

json::array column_definitions(std::string_view kind, bool own) {
    json::array out;
    auto add = [&](const Column& c) {
        out.push_back(json::object{{"name", text(c.name)},
                                   {"type", text(c.type)},
                                   {"format", text(c.format)},
                                   {"description", ""},
                                   {"priority", c.priority}});
    };
    if (own)
        for (const auto& c : kColumns)
            if (c.kind == kind) add(c);
    if (!own)
        for (const auto& c : kDefault)
            add(c);
    return out;
}

// The defaults' date is RFC 3339: clients make an age of it.
json::array default_cells(const Message& object) {
    const auto& m = meta_of(object);
    json::array out{m.name()};
    out.push_back(to_value(m.creationtimestamp()));
    return out;
}

}  // namespace

std::string human_duration(std::chrono::seconds age) {
    const std::int64_t s = age.count();
    if (s < -1) return "<invalid>";
    if (s < 0) return "0s";
    const std::int64_t m = s / 60, h = m / 60, d = h / 24, y = d / 365;
    // Two units while the greater one is small, one from then on.
    if (s < 2 * 60) return fmt::format("{}s", s);
    if (m < 10) return s % 60 == 0 ? fmt::format("{}m", m) : fmt::format("{}m{}s", m, s % 60);
    if (h < 3) return fmt::format("{}m", m);
    if (h < 8) return m % 60 == 0 ? fmt::format("{}h", h) : fmt::format("{}h{}m", h, m % 60);
    if (h < 48) return fmt::format("{}h", h);
    if (d < 8) return h % 24 == 0 ? fmt::format("{}d", d) : fmt::format("{}d{}h", d, h % 24);
    if (y < 2) return fmt::format("{}d", d);
    if (y < 8) return d % 365 == 0 ? fmt::format("{}y", y) : fmt::format("{}y{}d", y, d % 365);
    return fmt::format("{}y", y);
}

std::string CellContext::age(const meta::Time& t) const {
    if (t.seconds() == 0) return "<unknown>";
    return human_duration(std::chrono::duration_cast<std::chrono::seconds>(now - from_time(t)));
}

std::string partial_metadata_json(const Message& object, std::string_view version) {
    return fmt::format(
        R"({{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{}","metadata":{}}})",
        version, to_json(meta_of(object)));
}

std::string table_json(const ResourceInfo& resource, const std::vector<ObjectPtr>& objects,
                       std::string_view list_meta, const TableOptions& options) {
    const CellContext context{options.now};
    // Rows are the same in all versions: there is one set of columns, that of what is stored.
    const auto& stored = stored_as(resource);
    const Cells cells = cells_of(stored.prototype().GetDescriptor());
    const auto cells_of_row = [&](const Message& object) {
        if (cells == nullptr) return default_cells(object);
        return &stored == &resource ? cells(object, context)
                                    : cells(*convert(object, stored), context);
    };
    std::string out = "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/" + options.version +
                      "\",\"metadata\":" + std::string(list_meta) + ",\"columnDefinitions\":";
    out += options.without_columns
               ? "null"
               : json::serialize(column_definitions(resource.kind, cells != nullptr));
    out += ",\"rows\":[";
    bool first = true;
    for (const auto& object : objects) {
        if (!object) continue;
        if (!std::exchange(first, false)) out += ',';
        out += "{\"cells\":" + json::serialize(cells_of_row(*object));
        if (options.include_object == "Object")
            out += ",\"object\":" +
                   to_json(*object, {resource.api_version(), std::string(resource.kind)});
        else if (options.include_object == "None")
            out += ",\"object\":null";
        else
            out += ",\"object\":" + partial_metadata_json(*object, options.version);
        out += '}';
    }
    return out + "]}";
}

}  // namespace api
