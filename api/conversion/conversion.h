#pragma once
// Conversion: one stored object in the versions that it is served in. Everything is stored in one
// version (ResourceInfo::storage_version); the few resources that have another one are converted on
// the way in and out, without losing what the other version cannot say (upstream keeps that in
// annotations). Pure; any thread.

#include <memory>

#include "api/object.h"

namespace api {

// The resource whose messages are stored where `resource`'s are: itself for all but a few.
const ResourceInfo& stored_as(const ResourceInfo& resource);
inline bool is_stored_as_served(const ResourceInfo& resource) {
    return &stored_as(resource) == &resource;
}

// The object as `to` says it. CHECKs that both are versions of the same stored thing.
std::unique_ptr<Message> convert(const Message& object, const ResourceInfo& to);

}  // namespace api
