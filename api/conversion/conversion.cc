#include "api/conversion/conversion.h"

#include <map>

#include "api/conversion/pairs.h"

namespace api {
namespace {

using google::protobuf::Descriptor;
using Converter = void (*)(const Message& from, Message* to);
using Pair = std::pair<const Descriptor*, const Descriptor*>;

template <class From, class To>
void add(std::map<Pair, Converter>* out) {
    (*out)[{From::descriptor(), To::descriptor()}] = [](const Message& from, Message* to) {
        conversion::convert(as<From>(from), static_cast<To*>(to));
    };
    (*out)[{To::descriptor(), From::descriptor()}] = [](const Message& from, Message* to) {
        conversion::convert(as<To>(from), static_cast<From*>(to));
    };
}

std::map<Pair, Converter> make_converters() {
    namespace k8s = ::k8s::io::api;
    std::map<Pair, Converter> out;
    add<k8s::core::v1::Event, k8s::events::v1::Event>(&out);
    add<k8s::autoscaling::v1::HorizontalPodAutoscaler,
        k8s::autoscaling::v2::HorizontalPodAutoscaler>(&out);
    return out;
}

std::map<const ResourceInfo*, const ResourceInfo*> make_stored() {
    std::map<const ResourceInfo*, const ResourceInfo*> out;
    for (const auto& r : all_resources()) {
        const auto* stored = find_kind(r.storage_version, r.kind);
        // A version that is not served at all (a beta one) has the same message.
        out[&r] = r.storage_prefix.empty() || stored == nullptr ? &r : stored;
    }
    return out;
}

}  // namespace

const ResourceInfo& stored_as(const ResourceInfo& resource) {
    static const auto kStored = make_stored();
    const auto it = kStored.find(&resource);
    return it == kStored.end() ? resource : *it->second;
}

std::unique_ptr<Message> convert(const Message& object, const ResourceInfo& to) {
    const auto* wanted = to.prototype().GetDescriptor();
    if (object.GetDescriptor() == wanted) return clone(object);
    static const auto kConverters = make_converters();
    const auto it = kConverters.find({object.GetDescriptor(), wanted});
    CHECK(it != kConverters.end(), "no conversion from {} to {}",
          object.GetDescriptor()->full_name(), wanted->full_name());
    std::unique_ptr<Message> out(to.prototype().New());
    it->second(object, out.get());
    return out;
}

}  // namespace api
