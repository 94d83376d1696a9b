#include "api/codec/json.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "api/codec/envelope.h"
#include "api/proto/apps_v1.pb.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_service.pb.h"
#include "api/proto/meta_v1.pb.h"
#include "api/proto/rbac_v1.pb.h"
#include "api/v1.h"
#include "base/random.h"
#include "test/api/all_messages.h"

namespace api_test {
namespace {

using google::protobuf::util::MessageDifferencer;

std::string difference(const Message& a, const Message& b) {
    MessageDifferencer differ;
    std::string text;
    differ.ReportDifferencesToString(&text);
    return differ.Compare(a, b) ? "" : text;
}

TEST(Json, EveryMessageComesBackAsItWas) {
    int n = 0;
    for (const auto* d : all_messages()) {
        if (d->name() == "Unknown" || d->name() == "Timestamp") continue;
        SCOPED_TRACE(d->full_name());
        auto message = make(d);
        fill(message.get());
        ASSERT_TRUE(api::canonicalize(message.get()).has_value());
        const std::string text = api::to_json(*message, {"group/v1", d->name()});
        boost::system::error_code ec;
        boost::json::parse_options options;
        options.max_depth = 512;
        boost::json::parse(text, ec, {}, options);
        ASSERT_FALSE(ec) << text;
        EXPECT_EQ(text.find('\n'), std::string::npos);
        auto back = make(d);
        api::TypeMeta type;
        api::JsonProblems problems;
        auto decoded = api::from_json(text, back.get(), &type, &problems);
        ASSERT_TRUE(decoded.has_value()) << decoded.error().message << "\n" << text;
        EXPECT_TRUE(problems.empty()) << problems[0];
        EXPECT_EQ(difference(*message, *back), "");
        if (api::codec::type_info(d).type_meta) {
            EXPECT_EQ(type, (api::TypeMeta{"group/v1", d->name()}));
        }
        // An empty one, too: what is always written is read as unset again.
        auto empty = make(d);
        ASSERT_TRUE(
            api::from_json(api::to_json(*empty), back.get(), nullptr, &problems).has_value());
        EXPECT_TRUE(problems.empty()) << problems[0];
        ++n;
    }
    EXPECT_GT(n, 600);
}

TEST(Json, CanonicalizeMakesOfProtobufWhatJsonGives) {
    for (const auto* d : all_messages()) {
        if (d->name() == "Unknown" || d->name() == "Timestamp") continue;
        auto message = make(d);
        fill(message.get());
        auto canonical = std::unique_ptr<Message>(message->New());
        canonical->CopyFrom(*message);
        ASSERT_TRUE(api::canonicalize(canonical.get()).has_value()) << d->full_name();
        EXPECT_EQ(api::to_json(*message), api::to_json(*canonical)) << d->full_name();
    }
    api::core::Pod pod;
    pod.mutable_metadata()->set_name("");
    pod.mutable_metadata()->set_generation(0);
    pod.mutable_metadata()->mutable_creationtimestamp();
    pod.mutable_metadata()->set_deletiongraceperiodseconds(0);
    pod.mutable_status()->set_phase("");
    auto* c = pod.mutable_spec()->add_containers();
    (*c->mutable_resources()->mutable_limits())["cpu"].set_string("0.5");
    ASSERT_TRUE(api::canonicalize(&pod).has_value());
    EXPECT_EQ(api::to_json(pod),
              R"({"metadata":{"deletionGracePeriodSeconds":0},"spec":{"containers":[{"name":"",)"
              R"("resources":{"limits":{"cpu":"500m"}}}]},"status":{}})");
    EXPECT_FALSE(pod.has_status());
    EXPECT_FALSE(pod.metadata().has_creationtimestamp());
    // An amount of nothing that is no pointer is unset, by Protobuf as by JSON.
    api::core::ResourceFieldSelector selector;
    selector.mutable_divisor()->set_string("0");
    ASSERT_TRUE(api::canonicalize(&selector).has_value());
    EXPECT_FALSE(selector.has_divisor());
    ASSERT_TRUE(api::from_json(R"({"resource":"","divisor":"0"})", &selector).has_value());
    EXPECT_FALSE(selector.has_divisor());
    (*c->mutable_resources()->mutable_limits())["cpu"].set_string("x");
    EXPECT_FALSE(api::canonicalize(&pod).has_value());
}

struct Form {
    const char* message;
    const char* in;
    const char* out;  // null: as `in`
};

TEST(Json, FormsAreUpstreams) {
    const std::string core = "k8s.io.api.core.v1.";
    const Form kForms[] = {
        {"k8s.io.api.core.v1.ConfigMap", R"({"data":{"b":"1","a":"2"},"metadata":{"name":"x"}})",
         R"({"metadata":{"name":"x"},"data":{"a":"2","b":"1"}})"},
        {"k8s.io.api.core.v1.Secret", R"({"metadata":{},"data":{"k":"aGk="}})", nullptr},
        {"k8s.io.api.core.v1.Volume", R"({"name":"v","emptyDir":{}})", nullptr},
        {"k8s.io.api.core.v1.Probe", R"({"httpGet":{"path":"/","port":8080}})", nullptr},
        {"k8s.io.api.core.v1.Probe", R"({"httpGet":{"port":"web"},"periodSeconds":0})",
         R"({"httpGet":{"port":"web"}})"},
        {"k8s.io.api.core.v1.EphemeralContainer",
         R"({"name":"d","image":"i","resources":{},"targetContainerName":"c"})", nullptr},
        {"k8s.io.api.core.v1.ResourceRequirements",
         R"({"limits":{"cpu":0.5,"memory":"1024Ki","x":"1e3"}})",
         R"({"limits":{"cpu":"500m","memory":"1Mi","x":"1e3"}})"},
        {"k8s.io.api.core.v1.ContainerStateRunning", R"({"startedAt":null})", nullptr},
        {"k8s.io.api.core.v1.ContainerStateRunning",
         R"({"startedAt":"1970-01-01T02:00:00.9+02:00"})",
         R"({"startedAt":"1970-01-01T00:00:00Z"})"},
        {"k8s.io.api.coordination.v1.LeaseSpec", R"({"renewTime":"2024-02-29T23:59:59.000001Z"})",
         nullptr},
        {"k8s.io.api.core.v1.ServicePort", R"({"port":80,"targetPort":0})", nullptr},
        {"k8s.io.api.rbac.v1.ClusterRole", R"({"metadata":{},"rules":[]})", nullptr},
        {"k8s.io.api.apps.v1.ControllerRevision",
         R"({"metadata":{},"data":{"a": [1,  "b\u0041"]},"revision":3})",
         R"({"metadata":{},"data":{"a":[1,"bA"]},"revision":3})"},
        {"k8s.io.api.apps.v1.DeploymentSpec",
         R"({"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":[]}},"strategy":{}})",
         nullptr},
        {"k8s.io.apimachinery.pkg.apis.meta.v1.APIResource",
         R"({"name":"n","singularName":"","namespaced":true,"kind":"K","verbs":["get","list"]})",
         nullptr},
        {"k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta",
         R"({"name":"\u2028\ud83d\ude00\ud83d"})", "{\"name\":\"\u2028\U0001F600\uFFFD\"}"},
        {"k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
         R"({"$ref":"x","type":"object","default":null,"enum":[null,1.5],"items":[{"type":"string"}],"additionalProperties":false,"dependencies":{"a":["b"],"c":{"type":"number"}},"x-kubernetes-int-or-string":true})",
         R"({"$ref":"x","type":"object","enum":[null,1.5],"items":[{"type":"string"}],"additionalProperties":false,"dependencies":{"a":["b"],"c":{"type":"number"}},"x-kubernetes-int-or-string":true})"},
    };
    for (const auto& form : kForms) {
        SCOPED_TRACE(std::string(form.message) + " " + form.in);
        const auto* d =
            google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(form.message);
        ASSERT_NE(d, nullptr);
        auto m = make(d);
        auto decoded = api::from_json(form.in, m.get());
        ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
        const auto value = boost::json::parse(form.out != nullptr ? form.out : form.in);
        EXPECT_EQ(boost::json::serialize(api::to_value(*m)), boost::json::serialize(value));
        auto again = make(d);
        ASSERT_TRUE(api::from_value(api::to_value(*m), again.get()).has_value());
        EXPECT_EQ(difference(*m, *again), "");
    }
}

struct Wrong {
    const char* message;
    const char* text;
    const char* error;
};

TEST(Json, ErrorsAreUpstreams) {
    const Wrong kWrong[] = {
        {"apps.v1.Deployment", R"({"spec":{"replicas":"two"}})",
         "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type "
         "int32"},
        {"apps.v1.Deployment", R"({"spec":{"replicas":1.5}})",
         "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of "
         "type int32"},
        {"apps.v1.Deployment", R"({"spec":{"replicas":3000000000}})",
         "json: cannot unmarshal number 3000000000 into Go struct field "
         "DeploymentSpec.spec.replicas of type int32"},
        {"core.v1.Pod", R"({"spec":{"containers":[{"ports":[{"containerPort":"x"}]}]}})",
         "json: cannot unmarshal string into Go struct field "
         "ContainerPort.spec.containers.ports.containerPort of type int32"},
        {"core.v1.Pod", R"({"spec":{"containers":{}}})",
         "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
         "[]v1.Container"},
        {"core.v1.Pod", R"({"metadata":{"labels":{"a":1}}})",
         "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
         "string"},
        {"core.v1.Pod", R"({"metadata":{"labels":[]}})",
         "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type "
         "map[string]string"},
        {"core.v1.Pod", R"({"metadata":{"name":true}})",
         "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type "
         "string"},
        {"core.v1.Pod", R"({"kind":1})",
         "json: cannot unmarshal number into Go struct field Pod.kind of type string"},
        {"core.v1.Pod", "[]", "json: cannot unmarshal array into Go value of type v1.Pod"},
        {"core.v1.Pod", R"({"metadata":{"creationTimestamp":"yesterday"}})",
         R"(parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006")"},
        {"core.v1.Pod", R"({"spec":{"containers":[{"resources":{"limits":{"cpu":"1x"}}}]}})",
         "quantities must match the regular expression "
         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
        {"core.v1.Secret", R"({"data":{"a":"%%"}})", "illegal base64 data at input byte 0"},
        {"core.v1.Pod", "", "unexpected end of JSON input"},
        {"core.v1.Pod", "{", "unexpected end of JSON input"},
        {"core.v1.Pod", "{}x", "invalid character 'x' after top-level value"},
        {"core.v1.Pod", "{,}", "invalid character ',' looking for beginning of object key string"},
        {"core.v1.Pod", R"({"a" 1})", "invalid character '1' after object key"},
        {"core.v1.Pod", R"({"a":1 "b":2})", "invalid character '\"' after object key:value pair"},
        {"core.v1.Pod", R"({"a":[1,]})", "invalid character ']' looking for beginning of value"},
        {"core.v1.Pod", R"({"a":[1 2]})", "invalid character '2' after array element"},
        {"core.v1.Pod", R"({"a":tru})", "invalid character '}' in literal true (expecting 'e')"},
        {"core.v1.Pod", R"({"a":1.})",
         "invalid character '}' after decimal point in numeric literal"},
        {"core.v1.Pod", "{\"a\":\"\n\"}", "invalid character '\\n' in string literal"},
        {"core.v1.Pod", R"({"a":"\q"})", "invalid character 'q' in string escape code"},
        {"core.v1.Pod", "yes", "invalid character 'y' looking for beginning of value"},
    };
    for (const auto& wrong : kWrong) {
        SCOPED_TRACE(wrong.text);
        const auto* d = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
            std::string("k8s.io.api.") + wrong.message);
        ASSERT_NE(d, nullptr);
        auto m = make(d);
        const auto decoded = api::from_json(wrong.text, m.get());
        ASSERT_FALSE(decoded.has_value());
        EXPECT_EQ(decoded.error().code, base::Code::kInvalidArgument);
        EXPECT_EQ(decoded.error().message, wrong.error);
    }
    api::core::Pod pod;
    const std::string deep(100'000, '[');
    EXPECT_EQ(api::from_json("{\"x\":" + deep, &pod).error().message, "exceeded max depth");
}

TEST(Json, UnknownAndDuplicateFieldsAreTold) {
    api::core::Pod pod;
    api::JsonProblems problems;
    const char* text =
        R"({"kind":"Pod","apiVersion":"v1","foo":1,"metadata":{"labels":{"a":"1","a":"2"},"Name":"x"},
        "spec":{"containers":[{"name":"a"},{"name":"b","foo":{"x":[]},"name":"c","livenessProbe":{"httpget":{}}}],
        "nodeName":"n","nodeName":"m"}})";
    ASSERT_TRUE(api::from_json(text, &pod, nullptr, &problems).has_value());
    const api::JsonProblems expected = {
        R"(unknown field "foo")",
        R"(duplicate field "metadata.labels.a")",
        R"(unknown field "metadata.Name")",
        R"(unknown field "spec.containers[1].foo")",
        R"(duplicate field "spec.containers[1].name")",
        R"(unknown field "spec.containers[1].livenessProbe.httpget")",
        R"(duplicate field "spec.nodeName")",
    };
    EXPECT_EQ(problems, expected);
    EXPECT_EQ(pod.spec().nodename(), "m");
    EXPECT_EQ(pod.metadata().labels().at("a"), "2");
    EXPECT_EQ(api::strict_decoding_error({expected[0], expected[1]}),
              R"(strict decoding error: unknown field "foo", duplicate field "metadata.labels.a")");
}

TEST(Json, NullMeansUnset) {
    api::core::Pod pod;
    ASSERT_TRUE(
        api::from_json(
            R"({"metadata":null,"spec":{"containers":null,"securityContext":null,"nodeName":null,
        "hostname":"a","hostname":null,"volumes":[{"name":"v","emptyDir":null}]}})",
            &pod)
            .has_value());
    EXPECT_FALSE(pod.has_metadata());
    EXPECT_FALSE(pod.spec().has_securitycontext());
    EXPECT_TRUE(pod.spec().hostname().empty());
    EXPECT_FALSE(pod.spec().volumes(0).has_volumesource());
    ASSERT_TRUE(api::from_json("null", &pod).has_value());
    EXPECT_FALSE(pod.has_spec());
}

TEST(Json, ClaimTemplatesSayTheirKind) {
    api::apps::StatefulSetSpec spec;
    spec.add_volumeclaimtemplates();
    EXPECT_NE(api::to_json(spec).find(
                  R"("volumeClaimTemplates":[{"kind":"PersistentVolumeClaim","apiVersion":"v1",)"),
              std::string::npos);
}

TEST(Json, ItemsOfAListHaveNoKind) {
    api::core::ConfigMapList list;
    list.add_items()->mutable_metadata()->set_name("a");
    EXPECT_EQ(
        api::to_json(list, {"v1", "ConfigMapList"}),
        R"({"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"a"}}]})");
}

TEST(Json, RawBytesThatAreNotJsonAreNull) {
    api::apps::ControllerRevision revision;
    revision.mutable_data()->set_raw("{\"a\":");
    EXPECT_EQ(api::to_json(revision), R"({"metadata":{},"data":null,"revision":0})");
}

TEST(Json, PeeksAndCompacts) {
    EXPECT_EQ(
        api::peek_type(R"({"spec":{"kind":"no"}, "kind" : "Pod", "apiVersion":"v1"})").value(),
        (api::TypeMeta{"v1", "Pod"}));
    EXPECT_FALSE(api::peek_type("{").has_value());
    EXPECT_EQ(api::compact_json(" { \"a\" : [ 1 , 1.50 , { } ] } ").value(),
              R"({"a":[1,1.50,{}]})");
    EXPECT_EQ(api::json_text(boost::json::parse("[0.5,1e3,1e30,-7,18446744073709551615,1.5e-9]")),
              "[0.5,1000,1e+30,-7,18446744073709551615,1.5e-9]");
}

std::string big_pod() {
    api::core::Pod pod;
    auto* meta = pod.mutable_metadata();
    meta->set_name("frontend-5d4f8c7b9-abcde");
    meta->set_namespace_("production");
    meta->set_uid("0f6a4fd4-5f4f-4d9e-9ef1-8a5e9a3a2c11");
    meta->set_resourceversion("123456");
    meta->mutable_creationtimestamp()->set_seconds(1'700'000'000);
    for (const char* l : {"app", "tier", "pod-template-hash", "version"})
        (*meta->mutable_labels())[l] = "value";
    (*meta->mutable_annotations())["kubectl.kubernetes.io/restartedAt"] = "2024-01-01T00:00:00Z";
    for (int i = 0; i < 3; ++i) {
        auto* c = pod.mutable_spec()->add_containers();
        c->set_name("container-" + std::to_string(i));
        c->set_image("registry.example.com/team/image:v1.2.3");
        for (int j = 0; j < 6; ++j) {
            auto* e = c->add_env();
            e->set_name("VARIABLE_" + std::to_string(j));
            e->set_value("some value of the environment");
        }
        (*c->mutable_resources()->mutable_limits())["cpu"].set_string("500m");
        (*c->mutable_resources()->mutable_limits())["memory"].set_string("128Mi");
        (*c->mutable_resources()->mutable_requests())["cpu"].set_string("100m");
        auto* get = c->mutable_livenessprobe()->mutable_handler()->mutable_httpget();
        get->set_path("/healthz");
        get->mutable_port()->set_intval(8080);
        c->mutable_livenessprobe()->set_periodseconds(10);
        c->add_ports()->set_containerport(8080);
        auto* mount = c->add_volumemounts();
        mount->set_name("kube-api-access");
        mount->set_mountpath("/var/run/secrets/kubernetes.io/serviceaccount");
        auto* s = pod.mutable_status()->add_containerstatuses();
        s->set_name(c->name());
        s->set_image(c->image());
        s->mutable_state()->mutable_running()->mutable_startedat()->set_seconds(1'700'000'000);
    }
    for (const char* type : {"Initialized", "Ready", "ContainersReady", "PodScheduled"}) {
        auto* c = pod.mutable_status()->add_conditions();
        c->set_type(type);
        c->set_status("True");
        c->mutable_lasttransitiontime()->set_seconds(1'700'000'000);
    }
    return api::to_json(pod, {"v1", "Pod"});
}

TEST(Json, TruncatedAndDamagedTextIsRefusedOrRead) {
    const std::string text = big_pod();
    api::core::Pod pod;
    for (std::size_t n = 0; n < text.size(); ++n)
        EXPECT_FALSE(api::from_json(std::string(text.substr(0, n)), &pod).has_value()) << n;
    base::Random random(7);
    for (int i = 0; i < 3000; ++i) {
        std::string damaged = text;
        for (std::uint64_t k = random.between(1, 4); k > 0; --k) {
            const std::size_t at = random.below(damaged.size());
            switch (random.below(3)) {
                case 0:
                    damaged[at] = static_cast<char>(random.below(256));
                    break;
                case 1:
                    damaged.erase(at, random.between(1, 20));
                    break;
                default:
                    damaged.insert(at, 1, "{}[]\",:0\\n"[random.below(10)]);
            }
        }
        api::JsonProblems problems;
        if (api::from_json(damaged, &pod, nullptr, &problems)) {
            // What was read can be written and read again, to the same.
            const std::string once = api::to_json(pod);
            api::core::Pod again;
            ASSERT_TRUE(api::from_json(once, &again).has_value()) << once;
            EXPECT_EQ(api::to_json(again), once);
        }
    }
}

TEST(Envelope, CarriesTypeAndBytes) {
    api::core::ConfigMap map;
    map.mutable_metadata()->set_name("a");
    (*map.mutable_data())["k"] = "v";
    (*map.mutable_data())["j"] = "w";
    const std::string bytes = api::encode_envelope({"v1", "ConfigMap"}, map);
    EXPECT_EQ(bytes, api::encode_envelope({"v1", "ConfigMap"}, api::core::ConfigMap(map)));
    const std::string head(
        "k8s\0\x0a\x0f\x0a\x02v1\x12\x09"
        "ConfigMap",
        21);
    EXPECT_EQ(bytes.substr(0, head.size()), head);
    auto envelope = api::decode_envelope(bytes);
    ASSERT_TRUE(envelope.has_value());
    EXPECT_EQ(envelope->type, (api::TypeMeta{"v1", "ConfigMap"}));
    api::core::ConfigMap back;
    ASSERT_TRUE(back.ParseFromArray(envelope->raw.data(), static_cast<int>(envelope->raw.size())));
    EXPECT_EQ(difference(map, back), "");
    EXPECT_EQ(api::encode_envelope_raw({"v1", "ConfigMap"}, envelope->raw), bytes);
    for (std::size_t n = 0; n < bytes.size(); ++n)
        (void)api::decode_envelope(std::string(bytes.substr(0, n)));
    EXPECT_FALSE(api::decode_envelope("{}").has_value());
    EXPECT_FALSE(api::decode_envelope(std::string("k8s\0\x0a\xff\xff", 7)).has_value());
}

TEST(Envelope, WatchFrames) {
    EXPECT_EQ(api::json_watch_frame("ADDED", "{}"), "{\"type\":\"ADDED\",\"object\":{}}\n");
    const std::string envelope = api::encode_envelope_raw({"v1", "Pod"}, std::string(300, 'x'));
    const std::string frame = api::protobuf_watch_frame("MODIFIED", envelope);
    api::meta::WatchEvent event;
    ASSERT_TRUE(event.ParseFromString(frame.substr(4)));
    EXPECT_EQ(event.type(), "MODIFIED");
    EXPECT_EQ(event.object().raw(), envelope);
    const std::string two = frame + api::protobuf_watch_frame("DELETED", envelope);
    std::string_view in = two;
    api::ProtobufWatchEvent got;
    ASSERT_TRUE(api::take_watch_frame(&in, &got).value());
    EXPECT_EQ(got.type, "MODIFIED");
    EXPECT_EQ(got.envelope, envelope);
    ASSERT_TRUE(api::take_watch_frame(&in, &got).value());
    EXPECT_EQ(got.type, "DELETED");
    EXPECT_FALSE(api::take_watch_frame(&in, &got).value());
    for (std::size_t n = 0; n < frame.size(); ++n) {
        const std::string part = frame.substr(0, n);
        in = part;
        EXPECT_FALSE(api::take_watch_frame(&in, &got).value());
    }
    in = std::string_view("\xff\xff\xff\xff", 4);
    EXPECT_FALSE(api::take_watch_frame(&in, &got).has_value());
}

}  // namespace
}  // namespace api_test
