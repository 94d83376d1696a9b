#pragma once
// Short names for the packages of the messages; include api/proto/<file>.pb.h for what is in them.

namespace k8s::io::api {
namespace admission::v1 {}
namespace admissionregistration::v1 {}
namespace apidiscovery::v2 {}
namespace apps::v1 {}
namespace authentication::v1 {}
namespace authorization::v1 {}
namespace autoscaling::v1 {}
namespace autoscaling::v2 {}
namespace batch::v1 {}
namespace certificates::v1 {}
namespace coordination::v1 {}
namespace core::v1 {}
namespace discovery::v1 {}
namespace events::v1 {}
namespace flowcontrol::v1 {}
namespace networking::v1 {}
namespace node::v1 {}
namespace policy::v1 {}
namespace rbac::v1 {}
namespace resource::v1 {}
namespace scheduling::v1 {}
namespace storage::v1 {}
}  // namespace k8s::io::api
namespace k8s::io::apimachinery::pkg {
namespace api::resource {}
namespace apis::meta::v1 {}
namespace runtime {}
namespace util::intstr {}
}  // namespace k8s::io::apimachinery::pkg

namespace api {
namespace admission = ::k8s::io::api::admission::v1;
namespace admissionregistration = ::k8s::io::api::admissionregistration::v1;
namespace apidiscovery = ::k8s::io::api::apidiscovery::v2;
namespace apps = ::k8s::io::api::apps::v1;
namespace authentication = ::k8s::io::api::authentication::v1;
namespace authorization = ::k8s::io::api::authorization::v1;
namespace autoscaling = ::k8s::io::api::autoscaling::v1;
namespace autoscalingv2 = ::k8s::io::api::autoscaling::v2;
namespace batch = ::k8s::io::api::batch::v1;
namespace certificates = ::k8s::io::api::certificates::v1;
namespace coordination = ::k8s::io::api::coordination::v1;
namespace core = ::k8s::io::api::core::v1;
namespace discovery = ::k8s::io::api::discovery::v1;
namespace events = ::k8s::io::api::events::v1;
namespace flowcontrol = ::k8s::io::api::flowcontrol::v1;
namespace meta = ::k8s::io::apimachinery::pkg::apis::meta::v1;
namespace networking = ::k8s::io::api::networking::v1;
namespace node = ::k8s::io::api::node::v1;
namespace policy = ::k8s::io::api::policy::v1;
namespace rbac = ::k8s::io::api::rbac::v1;
namespace resource = ::k8s::io::apimachinery::pkg::api::resource;
namespace runtime = ::k8s::io::apimachinery::pkg::runtime;
namespace scheduling = ::k8s::io::api::scheduling::v1;
namespace storage = ::k8s::io::api::storage::v1;
namespace intstr = ::k8s::io::apimachinery::pkg::util::intstr;
}  // namespace api
