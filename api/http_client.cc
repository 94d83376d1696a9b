#include "api/http_client.h"

#include <fmt/format.h>

#include "api/codec/envelope.h"
#include "api/codec/json.h"
#include "api/status.h"

namespace api {

namespace {

constexpr const char* kProtobuf = "application/vnd.kubernetes.protobuf";

TypeMeta type_of(const ResourceInfo& r) {
    return {r.api_version(), std::string(r.kind)};
}

std::string path_of(const ResourceInfo& r, const std::string& ns, const std::string& name,
                    const std::string& sub = {}) {
    std::string out = (r.group.empty() ? "/api/" : "/apis/") + r.api_version();
    if (r.namespaced && !ns.empty()) out += "/namespaces/" + net::percent_encode(ns);
    out += "/" + std::string(r.plural);
    if (!name.empty()) out += "/" + net::percent_encode(name);
    if (!sub.empty()) out += "/" + sub;
    return out;
}

void add_query(std::string* target, const char* key, std::string_view value) {
    if (value.empty()) return;
    *target += (target->find('?') == std::string::npos ? '?' : '&') + std::string(key) + "=" +
               net::percent_encode(value);
}

// What an answer that is no success says of itself.
base::Error error_of(int status, std::string_view body) {
    meta::Status s;
    auto envelope = decode_envelope(body);
    if (envelope && envelope->type.kind == "Status" &&
        s.ParseFromArray(envelope->raw.data(), static_cast<int>(envelope->raw.size())))
        return from_status(std::move(s));
    if (from_json(body, &s) && !s.status().empty()) return from_status(std::move(s));
    s.Clear();
    s.set_status("Failure");
    s.set_code(status);
    s.set_message(fmt::format("the API answered {}: {}", status, body.substr(0, 200)));
    return from_status(std::move(s));
}

base::Result<std::unique_ptr<Message>> read_object(std::string_view body,
                                                   std::string_view message_name) {
    TRY(const Envelope envelope, decode_envelope(body));
    std::unique_ptr<Message> out(new_message(message_name));
    CHECK(out != nullptr, "{} is no message", message_name);
    if (!out->ParseFromArray(envelope.raw.data(), static_cast<int>(envelope.raw.size())))
        return base::internal_error("the API's answer is no " + std::string(message_name));
    return out;
}

class HttpWatch final : public WatchStream {
  public:
    HttpWatch(const ResourceInfo& resource, std::shared_ptr<net::ResponseStream> stream)
        : resource_(resource), stream_(std::move(stream)) {}
    ~HttpWatch() override { stream_->cancel(); }

    base::Task<std::optional<WatchEvent>> next() override {
        auto stream = stream_;
        for (;;) {
            std::string_view rest = buffer_;
            ProtobufWatchEvent frame;
            CO_TRY(const bool whole, take_watch_frame(&rest, &frame));
            if (whole) {
                auto event = read(frame);
                buffer_.erase(0, buffer_.size() - rest.size());
                if (!event) co_return event.error();
                co_return std::optional<WatchEvent>(std::move(*event));
            }
            CO_TRY(auto more, co_await stream->read_some());
            if (!more) co_return std::optional<WatchEvent>();
            buffer_ += *more;
        }
    }
    void cancel() override { stream_->cancel(); }

  private:
    base::Result<WatchEvent> read(const ProtobufWatchEvent& frame) const {
        if (frame.type == "ERROR") return error_of(500, frame.envelope);
        WatchEvent out;
        TRY(auto object, read_object(frame.envelope, resource_.message_name));
        if (frame.type == "ADDED") {
            out.type = EventType::kAdded;
        } else if (frame.type == "MODIFIED") {
            out.type = EventType::kModified;
        } else if (frame.type == "DELETED") {
            out.type = EventType::kDeleted;
        } else {
            out.type = EventType::kBookmark;
            out.initial_events_end = annotation(*object, "k8s.io/initial-events-end") == "true";
        }
        out.object = std::move(object);
        return out;
    }

    const ResourceInfo& resource_;
    std::shared_ptr<net::ResponseStream> stream_;
    std::string buffer_;
};

class HttpClient final : public Client {
  public:
    HttpClient(base::Loop& loop, net::ClientOptions options, base::Millis timeout)
        : client_(loop, std::move(options)), timeout_(timeout) {}

    base::Task<ObjectPtr> get(const ResourceInfo& r, std::string ns, std::string name) override {
        return object(r, "GET", path_of(r, ns, name), {}, kProtobuf);
    }

    base::Task<List> list(const ResourceInfo& r, std::string ns, ListOptions o) override {
        std::string target = path_of(r, ns, "");
        add_query(&target, "labelSelector", o.label_selector);
        add_query(&target, "fieldSelector", o.field_selector);
        add_query(&target, "continue", o.continue_token);
        add_query(&target, "resourceVersion", o.resource_version);
        add_query(&target, "resourceVersionMatch", o.resource_version_match);
        if (o.limit > 0) add_query(&target, "limit", std::to_string(o.limit));
        CO_TRY(std::string body, co_await call("GET", std::move(target), {}, kProtobuf));
        CO_TRY(auto message,
               read_object(body, message_name_of(r.api_version(), std::string(r.kind) + "List")));
        List out;
        // Every list is ListMeta and items.
        const auto* d = message->GetDescriptor();
        const auto* reflection = message->GetReflection();
        const auto& meta = static_cast<const meta::ListMeta&>(
            reflection->GetMessage(*message, d->FindFieldByNumber(1)));
        out.resource_version = meta.resourceversion();
        out.continue_token = meta.continue_();
        const auto* items = d->FindFieldByNumber(2);
        for (int i = 0; i < reflection->FieldSize(*message, items); ++i)
            out.items.push_back(clone(reflection->GetRepeatedMessage(*message, items, i)));
        co_return out;
    }

    base::Task<std::shared_ptr<WatchStream>> watch(const ResourceInfo& r, std::string ns,
                                                   WatchOptions o) override {
        net::Request request;
        request.target = path_of(r, ns, "") + "?watch=true&allowWatchBookmarks=true";
        add_query(&request.target, "labelSelector", o.label_selector);
        add_query(&request.target, "fieldSelector", o.field_selector);
        add_query(&request.target, "resourceVersion", o.resource_version);
        if (o.send_initial_events)
            request.target += "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        request.headers.set("accept", kProtobuf);
        CO_TRY(auto stream, co_await client_.open(std::move(request), timeout_));
        if (stream->status() != 200) {
            std::string body;
            for (;;) {
                auto more = co_await stream->read_some();
                if (!more || !*more) break;
                body += **more;
            }
            co_return error_of(stream->status(), body);
        }
        co_return std::shared_ptr<WatchStream>(std::make_shared<HttpWatch>(r, std::move(stream)));
    }

    base::Task<ObjectPtr> create(const ResourceInfo& r, ObjectPtr o) override {
        return object(r, "POST", path_of(r, meta_of(*o).namespace_(), ""),
                      encode_envelope(type_of(r), *o), kProtobuf);
    }

    base::Task<ObjectPtr> create_sub(const ResourceInfo& r, std::string ns, std::string name,
                                     std::string sub, ObjectPtr o) override {
        const auto* s = r.subresource(sub);
        CHECK(s != nullptr, "{} has no subresource {}", r.plural, sub);
        const TypeMeta type{
            s->group_version.empty() ? r.api_version() : std::string(s->group_version),
            std::string(s->kind)};
        std::string body = encode_envelope(type, *o);
        CO_TRY_VOID(co_await call("POST", path_of(r, ns, name, sub), std::move(body), kProtobuf));
        co_return o;
    }

    base::Task<ObjectPtr> update(const ResourceInfo& r, ObjectPtr o, std::string sub) override {
        const auto& m = meta_of(*o);
        return object(r, "PUT", path_of(r, m.namespace_(), m.name(), sub),
                      encode_envelope(type_of(r), *o), kProtobuf);
    }

    base::Task<ObjectPtr> patch(const ResourceInfo& r, std::string ns, std::string name,
                                PatchType type, std::string body, std::string sub) override {
        const char* content_type = type == PatchType::kJson ? "application/json-patch+json"
                                   : type == PatchType::kMerge
                                       ? "application/merge-patch+json"
                                       : "application/strategic-merge-patch+json";
        return object(r, "PATCH", path_of(r, ns, name, sub), std::move(body), content_type);
    }

    base::Task<void> remove(const ResourceInfo& r, std::string ns, std::string name,
                            DeleteOptions o) override {
        std::string body = options_body(o);
        CO_TRY_VOID(co_await call("DELETE", path_of(r, ns, name), std::move(body), kProtobuf));
        co_return base::Status();
    }

    base::Task<void> remove_all(const ResourceInfo& r, std::string ns, ListOptions which,
                                DeleteOptions o) override {
        std::string target = path_of(r, ns, "");
        add_query(&target, "labelSelector", which.label_selector);
        add_query(&target, "fieldSelector", which.field_selector);
        std::string body = options_body(o);
        CO_TRY_VOID(co_await call("DELETE", std::move(target), std::move(body), kProtobuf));
        co_return base::Status();
    }

  private:
    static std::string options_body(const DeleteOptions& o) {
        meta::DeleteOptions out;
        if (o.grace_period_seconds) out.set_graceperiodseconds(*o.grace_period_seconds);
        if (!o.propagation_policy.empty()) out.set_propagationpolicy(o.propagation_policy);
        if (!o.uid.empty()) out.mutable_preconditions()->set_uid(o.uid);
        if (!o.resource_version.empty())
            out.mutable_preconditions()->set_resourceversion(o.resource_version);
        return encode_envelope({"meta.k8s.io/v1", "DeleteOptions"}, out);
    }

    base::Task<std::string> call(std::string method, std::string target, std::string body,
                                 std::string content_type) {
        net::Request request;
        request.method = std::move(method);
        request.target = std::move(target);
        request.headers.set("accept", kProtobuf);
        if (!body.empty()) {
            request.headers.set("content-type", content_type);
            request.body = net::share(std::move(body));
        }
        CO_TRY(auto response, co_await client_.send(std::move(request), timeout_));
        if (response.status < 200 || response.status > 299)
            co_return error_of(response.status, response.text());
        co_return std::string(response.text());
    }

    base::Task<ObjectPtr> object(const ResourceInfo& r, std::string method, std::string target,
                                 std::string body, std::string content_type) {
        const std::string_view name = r.message_name;
        CO_TRY(std::string answer, co_await call(std::move(method), std::move(target),
                                                 std::move(body), std::move(content_type)));
        CO_TRY(auto message, read_object(answer, name));
        co_return ObjectPtr(std::move(message));
    }

    net::HttpClient client_;
    base::Millis timeout_;
};

}  // namespace

std::shared_ptr<Client> make_http_client(base::Loop& loop, net::ClientOptions options,
                                         base::Millis timeout) {
    return std::make_shared<HttpClient>(loop, std::move(options), timeout);
}

}  // namespace api
