// GET of one object, of a list, and of a watch.

#include <boost/json.hpp>
#include <charconv>

#include "api/codec/envelope.h"
#include "api/codec/json.h"
#include "api/status.h"
#include "api/table.h"
#include "apiserver/http/handlers.h"
#include "apiserver/http/selection.h"
#include "apiserver/http/watch.h"
#include "apiserver/server.h"
#include "base/bytes.h"
#include "base/random.h"

namespace apiserver {

namespace {

constexpr std::int64_t kMinWatchSeconds = 1800;
// A stream that has this much unsent gets no more until it has less.
constexpr std::size_t kStreamHighWater = 1 << 20;

base::Result<std::int64_t> parse_version(std::string_view text, const char* what) {
    std::int64_t out = 0;
    if (text.empty()) return out;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (ec != std::errc() || end != text.data() + text.size() || out < 0)
        return api::bad_request(std::string(what) + ": Invalid value: \"" + std::string(text) +
                                "\": strconv.ParseUint: parsing \"" + std::string(text) +
                                "\": invalid syntax");
    return out;
}

struct ContinueToken {
    std::int64_t revision = 0;
    std::string start;  // the key, behind the prefix, to go on from
};

std::string encode_token(const ContinueToken& token) {
    boost::json::object json{
        {"v", "meta.k8s.io/v1"}, {"rv", token.revision}, {"start", token.start}};
    return base::base64_encode(boost::json::serialize(json));
}

base::Result<ContinueToken> decode_token(const std::string& text) {
    const auto bad = [] {
        return api::bad_request("continue key is not valid: illegal base64 or JSON");
    };
    auto bytes = base::base64_decode(text);
    if (!bytes) return bad();
    boost::system::error_code ec;
    const auto json = boost::json::parse(*bytes, ec);
    if (ec || !json.is_object()) return bad();
    const auto* revision = json.as_object().if_contains("rv");
    const auto* start = json.as_object().if_contains("start");
    if (revision == nullptr || !revision->is_int64() || start == nullptr || !start->is_string())
        return bad();
    // It is a part of a key: nothing that leads out of the prefix.
    if (start->as_string().find("..") != boost::json::string::npos) return bad();
    return ContinueToken{revision->as_int64(), std::string(start->as_string())};
}

// A page as it was at a revision, straight from the store.
base::Task<ListPage> list_at(Registry& registry, const api::ResourceInfo* resource,
                             Selection selection, std::int64_t limit, ContinueToken token) {
    ListPage page;
    const std::string prefix = selection.prefix();
    std::string from = prefix + token.start;
    std::string end = prefix;
    end.back() = static_cast<char>(end.back() + 1);
    for (;;) {
        etcdserverpb::RangeRequest request;
        request.set_key(from);
        request.set_range_end(end);
        request.set_revision(token.revision);
        request.set_limit(limit > 0 ? limit : 500);
        auto answer = co_await registry.store().range(std::move(request));
        if (!answer) {
            if (answer.error().code == base::Code::kOutOfRange) co_return api::expired_continue();
            co_return answer.error();
        }
        page.revision = token.revision > 0 ? token.revision : answer->header().revision();
        token.revision = page.revision;
        for (int i = 0; i < answer->kvs_size(); ++i) {
            auto* kv = answer->mutable_kvs(i);
            from = kv->key() + '\0';
            auto object = Cached::make(registry.caches().of(*resource).resource(), kv->key(),
                                       kv->mod_revision(), std::move(*kv->mutable_value()));
            if (!object || !selection.matches(*object)) continue;
            page.items.push_back(std::move(object));
            if (limit > 0 && static_cast<std::int64_t>(page.items.size()) == limit) {
                const std::int64_t left = answer->count() - i - 1;
                if (left > 0) {
                    page.continue_token = encode_token({page.revision, from.substr(prefix.size())});
                    page.remaining = selection.everything() ? left : 0;
                }
                co_return page;
            }
        }
        if (!answer->more()) co_return page;
    }
}

base::Task<ListPage> list_stored(Registry& registry, ListQuery query) {
    const auto& options = query.options;
    CO_TRY(auto selection, Selection::parse(*query.resource, query.namespace_name, query.name,
                                            options.label_selector, options.field_selector));
    CO_TRY(const std::int64_t version, parse_version(options.resource_version, "resourceVersion"));
    const std::string& match = options.resource_version_match;
    if (!match.empty() && match != "Exact" && match != "NotOlderThan")
        co_return api::bad_request("resourceVersionMatch: Unsupported value: \"" + match +
                                   "\": supported values: \"Exact\", \"NotOlderThan\"");
    if (!match.empty() && options.resource_version.empty())
        co_return api::bad_request(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless "
            "resourceVersion is provided");
    if (!match.empty() && !options.continue_token.empty())
        co_return api::bad_request(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is "
            "provided");
    if (match == "Exact" && version == 0)
        co_return api::bad_request(
            "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for "
            "resourceVersion \"0\"");
    if (!options.continue_token.empty()) {
        CO_TRY(auto token, decode_token(options.continue_token));
        co_return co_await list_at(registry, query.resource, std::move(selection), options.limit,
                                   std::move(token));
    }
    if (match == "Exact") {
        ContinueToken token{version, ""};
        co_return co_await list_at(registry, query.resource, std::move(selection), options.limit,
                                   std::move(token));
    }

    ListPage page;
    if (options.resource_version.empty()) {
        CO_TRY_VOID(co_await registry.caches().wait_fresh());
    } else if (version > 0) {
        if (auto reached = co_await registry.caches().wait_for(version, base::Millis(3000));
            !reached)
            co_return api::too_large_version(version, registry.caches().revision());
    }
    page.revision = registry.caches().revision();
    auto& cache = registry.caches().of(*query.resource);
    cache.for_each(selection.prefix(), [&](const CachedPtr& object) {
        if (!selection.matches(*object)) return true;
        if (options.limit > 0 && static_cast<std::int64_t>(page.items.size()) == options.limit) {
            page.continue_token =
                encode_token({page.revision, object->key().substr(selection.prefix().size())});
            return false;
        }
        page.items.push_back(object);
        return true;
    });
    if (!page.continue_token.empty() && selection.everything())
        page.remaining =
            static_cast<std::int64_t>(cache.count(selection.prefix()) - page.items.size());
    co_return page;
}

base::Task<ListPage> list_components(Registry& registry, ListQuery query) {
    CO_TRY(auto selection,
           Selection::parse(*query.resource, "", query.name, query.options.label_selector,
                            query.options.field_selector));
    CO_TRY(auto all, co_await component_statuses(registry.caches()));
    ListPage page;
    for (auto& component : all)
        if (selection.matches(*component)) page.items.push_back(std::move(component));
    co_return page;
}

}  // namespace

base::Task<ListPage> list_objects(Registry& registry, ListQuery query) {
    const auto& resource = *query.resource;
    if (resource.kind == "ComponentStatus") co_return co_await list_components(registry, query);
    CO_TRY(auto page, co_await list_stored(registry, std::move(query)));
    for (auto& item : page.items)
        item = Cached::in_version(item, resource);
    co_return page;
}

namespace {

api::TableOptions table_options(const RequestContext& context) {
    api::TableOptions out;
    out.version = context.accepted.as_version;
    out.include_object = context.info.param("includeObject");
    out.now = std::chrono::system_clock::now();
    return out;
}

std::string list_meta_json(const ListPage& page) {
    boost::json::object meta{{"resourceVersion", std::to_string(page.revision)}};
    if (!page.continue_token.empty()) meta["continue"] = page.continue_token;
    if (page.remaining > 0) meta["remainingItemCount"] = page.remaining;
    return boost::json::serialize(meta);
}

void respond_list(RequestContext& context, const ListPage& page) {
    std::vector<api::ObjectPtr> objects;
    if (context.accepted.as == "Table") {
        for (const auto& item : page.items)
            objects.push_back(item->object());
        return respond_json(context, 200,
                            api::table_json(*context.resource, objects, list_meta_json(page),
                                            table_options(context)));
    }
    const bool partial = !context.accepted.as.empty();
    const std::string kind =
        partial ? "PartialObjectMetadataList" : std::string(context.resource->kind) + "List";
    const std::string version = partial ? "meta.k8s.io/v1" : context.resource->api_version();
    if (context.accepted.format == Format::kProtobuf) {
        // Lists are the same two fields everywhere: ListMeta and items.
        std::unique_ptr<api::Message> list(api::new_message(api::message_name_of(version, kind)));
        if (list) {
            const auto* d = list->GetDescriptor();
            const auto* r = list->GetReflection();
            auto* meta = static_cast<api::meta::ListMeta*>(
                r->MutableMessage(list.get(), d->FindFieldByNumber(1)));
            meta->set_resourceversion(std::to_string(page.revision));
            if (!page.continue_token.empty()) meta->set_continue_(page.continue_token);
            if (page.remaining > 0) meta->set_remainingitemcount(page.remaining);
            for (const auto& item : page.items) {
                const auto held = item->object();
                r->AddMessage(list.get(), d->FindFieldByNumber(2))->CopyFrom(*held);
            }
            return respond_object(context, 200, *list, {version, kind});
        }
    }
    context.accepted.format = Format::kJson;
    std::string out = "{\"kind\":\"" + kind + "\",\"apiVersion\":\"" + version +
                      "\",\"metadata\":" + list_meta_json(page) + ",\"items\":[";
    for (std::size_t i = 0; i < page.items.size(); ++i) {
        if (i > 0) out += ',';
        const auto& item = page.items[i];
        if (partial) {
            const auto held = item->object();
            out += api::partial_metadata_json(*held);
        } else {
            out += *item->json();
        }
    }
    out += "]}";
    respond_json(context, 200, std::move(out));
}

}  // namespace

base::Task<void> handle_get(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& info = context->info;
    CachedPtr object;
    if (context->resource->kind == "ComponentStatus") {
        CO_TRY(const auto all, co_await component_statuses(server.caches()));
        for (const auto& component : all)
            if (component->key() == "/" + info.name) object = component;
        if (!object) co_return api::not_found(context->resource->qualified(), info.name);
    } else if (info.param("resourceVersion") == "0") {
        object = Cached::in_version(
            server.caches()
                .of(*context->resource)
                .find(context->resource->storage_key(info.namespace_, info.name)),
            *context->resource);
    }
    if (!object) {
        CO_TRY(object,
               co_await server.registry().get(*context->resource, info.namespace_, info.name));
    }
    const auto held = object->object();
    if (context->accepted.as == "Table") {
        std::vector<api::ObjectPtr> one{held};
        const std::string meta =
            "{\"resourceVersion\":\"" + std::to_string(object->revision()) + "\"}";
        respond_json(*context, 200,
                     api::table_json(*context->resource, one, meta, table_options(*context)));
    } else if (!context->accepted.as.empty()) {
        respond_json(*context, 200, api::partial_metadata_json(*held));
    } else {
        respond_cached(*context, *object);
    }
    co_return base::Status();
}

base::Task<void> handle_list(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& info = context->info;
    ListQuery query;
    query.resource = context->resource;
    query.namespace_name = info.namespace_;
    query.options.label_selector = info.param("labelSelector");
    query.options.field_selector = info.param("fieldSelector");
    query.options.continue_token = info.param("continue");
    query.options.resource_version = info.param("resourceVersion");
    query.options.resource_version_match = info.param("resourceVersionMatch");
    if (info.flag("sendInitialEvents"))
        co_return api::bad_request(
            "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list");
    CO_TRY(query.options.limit, parse_version(info.param("limit"), "limit"));
    CO_TRY(auto page, co_await list_objects(server.registry(), std::move(query)));
    respond_list(*context, page);
    co_return base::Status();
}

namespace {

const char* type_name(WatchItem::Type type) {
    switch (type) {
        case WatchItem::Type::kAdded:
            return "ADDED";
        case WatchItem::Type::kModified:
            return "MODIFIED";
        case WatchItem::Type::kDeleted:
            return "DELETED";
        case WatchItem::Type::kBookmark:
            return "BOOKMARK";
    }
    return "";
}

// A bookmark is an empty object of the kind that carries only its version.
std::unique_ptr<api::Message> bookmark_object(const RequestContext& context,
                                              const WatchItem& item) {
    std::unique_ptr<api::Message> out(context.resource->prototype().New());
    auto* m = api::mutable_meta(out.get());
    m->set_resourceversion(std::to_string(item.revision));
    if (item.initial_events_end) (*m->mutable_annotations())["k8s.io/initial-events-end"] = "true";
    return out;
}

// Writes one item. The object's own bytes are shared with every other stream that sends them.
base::Status send_item(RequestContext& context, const WatchItem& item, bool* first_table) {
    auto& exchange = *context.exchange;
    const api::TypeMeta type{context.resource->api_version(), std::string(context.resource->kind)};
    const bool bookmark = item.type == WatchItem::Type::kBookmark;
    if (context.accepted.format == Format::kProtobuf) {
        net::SharedBytes object =
            bookmark ? net::share(api::encode_envelope(type, *bookmark_object(context, item)))
                     : item.object->protobuf();
        return exchange.write(net::share(api::protobuf_watch_frame(type_name(item.type), *object)));
    }
    const auto head =
        net::share(std::string("{\"type\":\"") + type_name(item.type) + "\",\"object\":");
    static const auto kTail = net::share("}\n");
    net::SharedBytes body;
    if (context.accepted.as == "Table") {
        std::vector<api::ObjectPtr> rows;
        if (bookmark)
            rows.push_back(bookmark_object(context, item));
        else
            rows.push_back(item.object->object());
        const std::string meta =
            "{\"resourceVersion\":\"" +
            std::to_string(bookmark ? item.revision : item.object->revision()) + "\"}";
        auto options = table_options(context);
        // Columns are told once; the client remembers them.
        options.without_columns = !*first_table;
        *first_table = false;
        body = net::share(api::table_json(*context.resource, rows, meta, options));
    } else if (!context.accepted.as.empty()) {
        api::ObjectPtr held;
        if (bookmark)
            held = bookmark_object(context, item);
        else
            held = item.object->object();
        body = net::share(api::partial_metadata_json(*held));
    } else if (bookmark) {
        body = net::share(api::to_json(*bookmark_object(context, item), type));
    } else {
        body = item.object->json();
    }
    TRY_VOID(exchange.write(head));
    TRY_VOID(exchange.write(body));
    return exchange.write(kTail);
}

base::Status send_error(RequestContext& context, const base::Error& error) {
    const auto status = api::to_status(error);
    if (context.accepted.format == Format::kProtobuf)
        return context.exchange->write(net::share(
            api::protobuf_watch_frame("ERROR", api::encode_envelope({"v1", "Status"}, status))));
    return context.exchange->write(net::share(
        "{\"type\":\"ERROR\",\"object\":" + api::to_json(status, {"v1", "Status"}) + "}\n"));
}

base::Result<CacheWatch::Options> watch_options(const RequestContext& context,
                                                std::int64_t* version) {
    const auto& info = context.info;
    CacheWatch::Options out;
    out.resource = context.resource;
    TRY(out.selection, Selection::parse(*context.resource, info.namespace_, info.name,
                                        info.param("labelSelector"), info.param("fieldSelector")));
    TRY(*version, parse_version(info.param("resourceVersion"), "resourceVersion"));
    out.since = *version;
    out.initial_events = info.flag("sendInitialEvents");
    out.bookmarks = info.flag("allowWatchBookmarks");
    const auto match = info.param("resourceVersionMatch");
    if (out.initial_events && match != "NotOlderThan")
        return api::bad_request(
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
            "resourceVersionMatch to NotOlderThan");
    if (out.initial_events && !out.bookmarks)
        return api::bad_request(
            "sendInitialEvents: Forbidden: sendInitialEvents requires allowWatchBookmarks");
    if (!out.initial_events && !match.empty())
        return api::bad_request(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless "
            "sendInitialEvents is provided");
    return out;
}

}  // namespace

base::Task<void> handle_watch(ApiServer& server, std::shared_ptr<RequestContext> context) {
    std::int64_t version = 0;
    CO_TRY(auto options, watch_options(*context, &version));
    CO_TRY(std::int64_t seconds,
           parse_version(context->info.param("timeoutSeconds"), "timeoutSeconds"));
    // Spread, so that clients that began together do not come back together.
    if (seconds == 0)
        seconds =
            kMinWatchSeconds + static_cast<std::int64_t>(base::entropy64() % kMinWatchSeconds);
    // "" means the newest state there is, "0" any.
    if (context->info.param("resourceVersion").empty()) {
        CO_TRY_VOID(co_await server.caches().wait_fresh());
    } else if (version > 0) {
        if (auto reached = co_await server.caches().wait_for(version, base::Millis(3000)); !reached)
            co_return api::too_large_version(version, server.caches().revision());
    }
    auto opened = CacheWatch::open(server.loop(), server.caches().of(*context->resource),
                                   server.caches().revision(), std::move(options));
    auto& exchange = *context->exchange;
    net::Headers headers{{"content-type", context->accepted.content_type(true)},
                         {"cache-control", "no-cache, private"}};
    if (context->accepted.format != Format::kProtobuf)
        headers.set("content-type", "application/json");
    exchange.start(200, std::move(headers));
    if (!opened) {
        if (auto sent = send_error(*context, opened.error()); sent) exchange.finish();
        co_return base::Status();
    }
    std::shared_ptr<CacheWatch> watch = std::move(*opened);
    exchange.on_close([weak = std::weak_ptr<CacheWatch>(watch)] {
        if (auto w = weak.lock()) w->cancel();
    });
    base::Timer timeout(server.loop());
    timeout.after(std::chrono::seconds(seconds), [weak = std::weak_ptr<CacheWatch>(watch)] {
        if (auto w = weak.lock()) w->cancel();
    });
    server.track(watch);
    bool first_table = true;
    for (;;) {
        auto item = co_await watch->next();
        if (!item) break;
        if (auto sent = send_item(*context, *item, &first_table); !sent) {
            exchange.reset(net::ResetCode::kEnhanceYourCalm);
            co_return base::Status();
        }
        if (exchange.queued_bytes() > kStreamHighWater) {
            if (auto drained = co_await exchange.drained(kStreamHighWater / 2); !drained)
                co_return base::Status();
        }
    }
    if (!watch->ended())
        if (auto sent = send_error(*context, watch->ended().error()); !sent)
            co_return base::Status();
    exchange.finish();
    co_return base::Status();
}

}  // namespace apiserver
