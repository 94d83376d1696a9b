#pragma once
// Selection: which objects of a resource a list or a watch is about: a namespace, a name, label and
// field selectors. Pure.

#include <string>

#include "api/selector.h"
#include "apiserver/cache/object_cache.h"
#include "apiserver/http/request_info.h"

namespace apiserver {

class Selection {
  public:
    // BadRequest for a selector that cannot be read or a field that the resource does not select
    // by; the text is upstream's.
    static base::Result<Selection> parse(const api::ResourceInfo& resource,
                                         std::string namespace_name, std::string name,
                                         std::string_view labels, std::string_view fields);

    // Keys in the store begin with this.
    const std::string& prefix() const { return prefix_; }
    bool everything() const { return labels_.empty() && fields_.empty() && name_.empty(); }
    bool matches(const Cached& object) const;

  private:
    std::string prefix_;
    std::string name_;
    api::LabelSelector labels_;
    api::FieldSelector fields_;
};

// The value of a selectable field of an object ("spec.nodeName"); "" when unset.
std::string selectable_field(const api::Message& object, std::string_view path);

}  // namespace apiserver
