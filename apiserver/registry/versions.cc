// Objects on their way in and out of the registry, where the version that is asked for is not the
// one that is stored.

#include "api/conversion/conversion.h"
#include "apiserver/registry/registry.h"

namespace apiserver {

namespace {

std::unique_ptr<api::Message> to_version(std::unique_ptr<api::Message> object,
                                         const api::ResourceInfo& resource) {
    return object->GetDescriptor() == resource.prototype().GetDescriptor()
               ? std::move(object)
               : api::convert(*object, resource);
}

api::ObjectPtr to_version(api::ObjectPtr object, const api::ResourceInfo& resource) {
    if (object->GetDescriptor() == resource.prototype().GetDescriptor()) return object;
    return api::convert(*object, resource);
}

}  // namespace

base::Task<api::ObjectPtr> Registry::create(const api::ResourceInfo& resource,
                                            std::string namespace_name,
                                            std::unique_ptr<api::Message> object,
                                            WriteContext context) {
    const auto& stored = api::stored_as(resource);
    auto in_stored = to_version(std::move(object), stored);
    CO_TRY(auto created, co_await create_stored(stored, resource, std::move(namespace_name),
                                                std::move(in_stored), std::move(context)));
    co_return to_version(std::move(created), resource);
}

base::Task<api::ObjectPtr> Registry::update(const api::ResourceInfo& resource,
                                            std::string namespace_name, std::string name,
                                            std::string subresource, Transform transform,
                                            WriteContext context) {
    const auto& stored = api::stored_as(resource);
    Transform in_stored = std::move(transform);
    if (&stored != &resource)
        in_stored =
            [asked = &resource, &stored, inner = std::move(in_stored)](
                const api::Message& current) -> base::Result<std::unique_ptr<api::Message>> {
            TRY(auto changed, inner(*api::convert(current, *asked)));
            return api::convert(*changed, stored);
        };
    CO_TRY(auto updated, co_await update_stored(stored, resource, std::move(namespace_name),
                                                std::move(name), std::move(subresource),
                                                std::move(in_stored), std::move(context)));
    co_return to_version(std::move(updated), resource);
}

base::Task<Removed> Registry::remove(const api::ResourceInfo& resource, std::string namespace_name,
                                     std::string name, RemoveOptions options,
                                     WriteContext context) {
    CO_TRY(auto removed,
           co_await remove_stored(api::stored_as(resource), resource, std::move(namespace_name),
                                  std::move(name), std::move(options), std::move(context)));
    removed.object = to_version(std::move(removed.object), resource);
    co_return removed;
}

}  // namespace apiserver
