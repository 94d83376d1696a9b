#pragma once
// The three kinds of patches, on JSON values. Pure; any thread. Errors carry a metav1.Status where
// upstream answers something else than BadRequest.

#include <google/protobuf/descriptor.h>

#include <boost/json/value.hpp>

#include "base/result.h"

namespace api {

// RFC 6902. BadRequest when the patch is none; Invalid (422) when it does not apply.
base::Result<boost::json::value> json_patch(const boost::json::value& document,
                                            const boost::json::value& patch);

// RFC 7386.
boost::json::value merge_patch(const boost::json::value& document, const boost::json::value& patch);

// Kubernetes' strategic merge: lists merge by their keys, with the $patch, $retainKeys,
// $setElementOrder/… and $deleteFromPrimitiveList/… directives. `type` is the type of `document`.
base::Result<boost::json::value> strategic_merge_patch(const boost::json::value& document,
                                                       const boost::json::value& patch,
                                                       const google::protobuf::Descriptor* type);

}  // namespace api
