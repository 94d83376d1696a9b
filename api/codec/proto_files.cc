// Refers to every message file, so that a program that has the codec has all messages: a static
// library gives only what is referred to, and messages are looked up by name. The names are
// protoc's.

#include <google/protobuf/generated_message_reflection.h>

#include "api/codec/types.h"

#define MESSAGE_FILES(X)                 \
    X(admission_5fv1)                    \
    X(admissionregistration_5fv1)        \
    X(apidiscovery_5fv2)                 \
    X(apiextensions_5fv1)                \
    X(apiregistration_5fv1)              \
    X(apps_5fv1)                         \
    X(authentication_5fv1)               \
    X(authorization_5fv1)                \
    X(autoscaling_5fv1)                  \
    X(autoscaling_5fv2)                  \
    X(batch_5fv1)                        \
    X(certificates_5fv1)                 \
    X(coordination_5fv1)                 \
    X(core_5fv1_5fconfig)                \
    X(core_5fv1_5fcontainer)             \
    X(core_5fv1_5fevent)                 \
    X(core_5fv1_5fnode)                  \
    X(core_5fv1_5fother)                 \
    X(core_5fv1_5fpersistentvolume)      \
    X(core_5fv1_5fpod)                   \
    X(core_5fv1_5fpodspec)               \
    X(core_5fv1_5freference)             \
    X(core_5fv1_5freplicationcontroller) \
    X(core_5fv1_5fservice)               \
    X(core_5fv1_5fvolume)                \
    X(discovery_5fv1)                    \
    X(events_5fv1)                       \
    X(flowcontrol_5fv1)                  \
    X(intstr)                            \
    X(meta_5fv1)                         \
    X(networking_5fv1)                   \
    X(node_5fv1)                         \
    X(options)                           \
    X(policy_5fv1)                       \
    X(quantity)                          \
    X(rbac_5fv1)                         \
    X(resource_5fv1)                     \
    X(runtime)                           \
    X(scheduling_5fv1)                   \
    X(scheduling_5fv1alpha3)             \
    X(storage_5fv1)

#define DECLARE(name)                                        \
    extern const google::protobuf::internal::DescriptorTable \
        descriptor_table_api_2fproto_2f##name##_2eproto;
MESSAGE_FILES(DECLARE)
#undef DECLARE

namespace api::codec {

const void* const* message_files() {
    static const void* const kFiles[] = {
#define ADDRESS(name) &descriptor_table_api_2fproto_2f##name##_2eproto,
        MESSAGE_FILES(ADDRESS)
#undef ADDRESS
    };
    return kFiles;
}

}  // namespace api::codec
