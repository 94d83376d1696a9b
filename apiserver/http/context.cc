#include "apiserver/http/context.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/codec/envelope.h"
#include "api/codec/json.h"
#include "api/codec/yaml.h"
#include "api/status.h"

namespace apiserver {

WriteContext RequestContext::write_context() {
    WriteContext out;
    out.user = user;
    out.dry_run = info.param("dryRun") == "All";
    out.warnings = &warnings;
    return out;
}

namespace {

net::Headers headers_of(RequestContext& context, std::string_view content_type) {
    net::Headers headers{{"content-type", content_type}, {"cache-control", "no-cache, private"}};
    // Code 299 with "-" for the agent, as the API's warnings are sent.
    for (const auto& warning : context.warnings) {
        std::string quoted;
        for (char c : warning) {
            if (c == '"' || c == '\\') quoted += '\\';
            if (static_cast<unsigned char>(c) >= 0x20) quoted += c;
        }
        headers.add("warning", fmt::format("299 - \"{}\"", quoted));
    }
    return headers;
}

void respond(RequestContext& context, int status, std::string_view content_type,
             net::SharedBytes body) {
    if (context.exchange->started()) return;
    net::Response response;
    response.status = status;
    response.headers = headers_of(context, content_type);
    response.body = std::move(body);
    context.exchange->respond(std::move(response));
}

}  // namespace

void respond_json(RequestContext& context, int status, std::string body,
                  std::string_view content_type) {
    respond(context, status, content_type, net::share(std::move(body)));
}

void respond_object(RequestContext& context, int status, const api::Message& object,
                    api::TypeMeta type) {
    if (context.accepted.format == Format::kProtobuf)
        return respond(context, status, context.accepted.content_type(),
                       net::share(api::encode_envelope(type, object)));
    // JSON is YAML: who asks for YAML can read it.
    respond(context, status, context.accepted.content_type(),
            net::share(api::to_json(object, type)));
}

void respond_cached(RequestContext& context, const Cached& object) {
    respond(context, 200, context.accepted.content_type(),
            context.accepted.format == Format::kProtobuf ? object.protobuf() : object.json());
}

void respond_error(RequestContext& context, const base::Error& error) {
    if (context.exchange->started()) return context.exchange->reset(net::ResetCode::kInternalError);
    const api::meta::Status status = api::to_status(error);
    Accepted plain;
    plain.format = context.accepted.format;
    context.accepted = plain;
    net::Response response;
    response.status = status.code();
    response.headers = headers_of(context, plain.content_type());
    if (status.details().retryafterseconds() > 0)
        response.headers.add("retry-after", std::to_string(status.details().retryafterseconds()));
    const api::TypeMeta type{"v1", "Status"};
    response.body =
        net::share(plain.format == Format::kProtobuf ? api::encode_envelope(type, status)
                                                     : api::to_json(status, type));
    context.exchange->respond(std::move(response));
}

namespace {

base::Status check_kind(const api::TypeMeta& got, const api::TypeMeta& expected) {
    if (got.kind.empty() && got.api_version.empty()) return {};
    if (!got.kind.empty() && got.kind != expected.kind)
        return api::bad_request(
            fmt::format("the kind of the object in the body ({}) is not the one of the path ({})",
                        got.kind, expected.kind));
    if (!got.api_version.empty() && !expected.api_version.empty() &&
        got.api_version != expected.api_version)
        return api::bad_request(fmt::format(
            "the API version in the data ({}) does not match the expected API version ({})",
            got.api_version, expected.api_version));
    return {};
}

}  // namespace

base::Status judge_unknown(RequestContext& context, const api::JsonProblems& problems) {
    const auto mode = context.info.param("fieldValidation");
    if (problems.empty() || mode == "Ignore") return {};
    if (mode == "Strict") return api::bad_request(api::strict_decoding_error(problems));
    // A body may be looked at again when a write is repeated: it is warned of once.
    for (const auto& p : problems)
        if (std::find(context.warnings.begin(), context.warnings.end(), p) ==
            context.warnings.end())
            context.warnings.push_back(p);
    return {};
}

base::Result<DecodedBody> decode_body(RequestContext& context, std::string_view body,
                                      std::string_view message_name, api::TypeMeta expected) {
    TRY(const Format format, body_format(context.exchange->header("content-type")));
    DecodedBody out;
    out.type = expected;
    out.object.reset(api::new_message(message_name));
    CHECK(out.object != nullptr, "{} is no message", message_name);
    if (format == Format::kProtobuf) {
        auto envelope = api::decode_envelope(body);
        if (!envelope) return api::bad_request(envelope.error().message);
        TRY_VOID(check_kind(envelope->type, expected));
        if (!out.object->ParseFromArray(envelope->raw.data(),
                                        static_cast<int>(envelope->raw.size())))
            return api::bad_request(fmt::format("the body is not a protobuf {}", expected.kind));
        // Go writes zero values, too: the same object must not look different for it.
        if (auto canonical = api::canonicalize(out.object.get()); !canonical)
            return api::bad_request(canonical.error().message);
        return out;
    }
    api::JsonProblems problems;
    api::TypeMeta type;
    if (format == Format::kYaml) {
        auto value = api::parse_yaml(body);
        if (!value) return api::bad_request(value.error().message);
        auto decoded = api::from_value(*value, out.object.get(), &type, &problems);
        if (!decoded) return api::bad_request(decoded.error().message);
    } else {
        auto decoded = api::from_json(body, out.object.get(), &type, &problems);
        if (!decoded) return api::bad_request(decoded.error().message);
    }
    TRY_VOID(check_kind(type, expected));
    TRY_VOID(judge_unknown(context, problems));
    return out;
}

base::Result<api::DeleteOptions> decode_delete_options(RequestContext& context,
                                                       std::string_view body) {
    api::DeleteOptions out;
    auto grace = [&](std::int64_t seconds) -> base::Status {
        if (seconds < 0) return api::bad_request("gracePeriodSeconds must not be negative");
        out.grace_period_seconds = seconds;
        return {};
    };
    if (!body.empty()) {
        TRY(auto decoded,
            decode_body(context, body, "k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions",
                        {"", "DeleteOptions"}));
        const auto& options = static_cast<const api::meta::DeleteOptions&>(*decoded.object);
        if (options.has_graceperiodseconds()) TRY_VOID(grace(options.graceperiodseconds()));
        out.propagation_policy = options.propagationpolicy();
        out.uid = options.preconditions().uid();
        out.resource_version = options.preconditions().resourceversion();
        if (options.dryrun_size() > 0 && options.dryrun(0) == "All")
            context.info.query.emplace_back("dryRun", "All");
        if (options.has_orphandependents() && out.propagation_policy.empty())
            out.propagation_policy = options.orphandependents() ? "Orphan" : "Background";
    }
    if (const auto text = context.info.param("gracePeriodSeconds"); !text.empty()) {
        char* end = nullptr;
        const std::string number(text);
        const long long seconds = std::strtoll(number.c_str(), &end, 10);
        if (*end != '\0') return api::bad_request("gracePeriodSeconds is not a number: " + number);
        TRY_VOID(grace(seconds));
    }
    if (const auto policy = context.info.param("propagationPolicy"); !policy.empty())
        out.propagation_policy = policy;
    if (!out.propagation_policy.empty() && out.propagation_policy != "Orphan" &&
        out.propagation_policy != "Background" && out.propagation_policy != "Foreground")
        return api::bad_request("propagationPolicy must be one of Orphan, Background, Foreground");
    return out;
}

}  // namespace apiserver
