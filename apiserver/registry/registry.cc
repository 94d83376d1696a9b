#include "apiserver/registry/registry.h"

#include "api/codec/envelope.h"
#include "api/defaults.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/status.h"
#include "api/util.h"
#include "apiserver/admission/admission.h"
#include "apiserver/registry/strategy.h"
#include "base/random.h"

namespace apiserver {

namespace pb = etcdserverpb;

namespace {

constexpr int kMaxAttempts = 16;
constexpr int kNameAttempts = 8;
constexpr std::int64_t kEventTtlSeconds = 3600;
constexpr base::Millis kEventLeaseShare{300'000};
// generateName: what remains of the 63 characters of a name beside the random part.
constexpr std::size_t kMaxGeneratedBase = 58;
constexpr int kSuffixLetters = 5;

bool is_event(const api::ResourceInfo& resource) {
    return resource.storage_prefix == "/registry/events";
}

api::meta::Time now() {
    return api::to_time(std::chrono::system_clock::now());
}

bool blocked_by_finalizers(const api::Message& object) {
    if (!api::meta_of(object).finalizers().empty()) return true;
    if (object.GetDescriptor() != api::core::Namespace::descriptor()) return false;
    return !api::as<api::core::Namespace>(object).spec().finalizers().empty();
}

void set_finalizer(api::meta::ObjectMeta* m, std::string_view finalizer, bool present) {
    auto* all = m->mutable_finalizers();
    const auto it = std::find(all->begin(), all->end(), finalizer);
    if (present && it == all->end()) *all->Add() = std::string(finalizer);
    if (!present && it != all->end()) all->erase(it);
}

// Seconds that a deletion leaves the object; only pods that a node runs have any.
std::int64_t grace_of(const api::Message& object, const api::DeleteOptions& options) {
    if (object.GetDescriptor() != api::core::Pod::descriptor()) return 0;
    const auto& pod = api::as<api::core::Pod>(object);
    std::int64_t grace = pod.spec().has_terminationgraceperiodseconds()
                             ? pod.spec().terminationgraceperiodseconds()
                             : 30;
    if (options.grace_period_seconds) grace = *options.grace_period_seconds;
    // Nobody would ever confirm the end of a pod that no node has, or that has ended.
    const bool ended = pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
    if (pod.spec().nodename().empty() || ended) grace = 0;
    return std::max<std::int64_t>(grace, 0);
}

}  // namespace

Registry::Registry(kvstore::Client& store, CacheSet& caches)
    : store_(store), caches_(caches), admission_(std::make_unique<Admission>(*this)) {}

Registry::~Registry() = default;

std::string Registry::encode(const api::ResourceInfo& resource, const api::Message& object) const {
    return api::encode_envelope({std::string(resource.storage_version), std::string(resource.kind)},
                                object);
}

base::Task<CachedPtr> Registry::get(const api::ResourceInfo& resource, std::string namespace_name,
                                    std::string name) {
    CO_TRY_VOID(co_await caches_.wait_fresh());
    auto found = caches_.of(resource).find(resource.storage_key(namespace_name, name));
    if (!found) co_return api::not_found(resource.qualified(), name);
    co_return Cached::in_version(found, resource);
}

base::Task<CachedPtr> Registry::read_store(const api::ResourceInfo& resource, std::string key) {
    pb::RangeRequest request;
    request.set_key(key);
    CO_TRY(auto answer, co_await store_.range(std::move(request)));
    if (answer.kvs_size() == 0) co_return CachedPtr();
    auto* kv = answer.mutable_kvs(0);
    co_return Cached::make(caches_.of(resource).resource(), std::move(key), kv->mod_revision(),
                           std::move(*kv->mutable_value()));
}

base::Task<std::int64_t> Registry::event_lease() {
    const auto at = std::chrono::steady_clock::now();
    if (lease_id_ != 0 && at < lease_renew_at_) co_return lease_id_;
    pb::LeaseGrantRequest request;
    request.set_ttl(kEventTtlSeconds + kEventLeaseShare.count() / 1000);
    CO_TRY(auto granted, co_await store_.lease_grant(std::move(request)));
    lease_id_ = granted.id();
    lease_renew_at_ = at + kEventLeaseShare;
    co_return lease_id_;
}

base::Task<std::optional<api::ObjectPtr>> Registry::write(const api::ResourceInfo& resource,
                                                          std::string key,
                                                          std::shared_ptr<api::Message> object,
                                                          std::int64_t at_revision,
                                                          CachedPtr* found) {
    // The version is the store's revision, and no part of what is stored.
    api::mutable_meta(object.get())->clear_resourceversion();
    pb::TxnRequest txn;
    auto* compare = txn.add_compare();
    compare->set_key(key);
    compare->set_target(pb::Compare::MOD);
    compare->set_result(pb::Compare::EQUAL);
    compare->set_mod_revision(at_revision);
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key(key);
    put->set_value(encode(resource, *object));
    if (is_event(resource)) {
        CO_TRY(const std::int64_t lease, co_await event_lease());
        put->set_lease(lease);
    }
    txn.add_failure()->mutable_request_range()->set_key(key);
    auto answer = co_await store_.txn(std::move(txn));
    if (!answer) {
        // The events' lease may have been lost with a restored store: the next attempt makes
        // another.
        if (is_event(resource) && answer.error().code == base::Code::kNotFound) lease_id_ = 0;
        if (answer.error().message == "etcdserver: request is too large")
            co_return api::request_entity_too_large(answer.error().message);
        co_return answer.error();
    }
    if (answer->succeeded()) {
        api::mutable_meta(object.get())
            ->set_resourceversion(std::to_string(answer->header().revision()));
        co_return std::optional<api::ObjectPtr>(std::move(object));
    }
    auto* range = answer->mutable_responses(0)->mutable_response_range();
    found->reset();
    if (range->kvs_size() > 0)
        *found = Cached::make(caches_.of(resource).resource(), std::move(key),
                              range->kvs(0).mod_revision(),
                              std::move(*range->mutable_kvs(0)->mutable_value()));
    co_return std::optional<api::ObjectPtr>();
}

base::Task<bool> Registry::erase(const api::ResourceInfo& resource, std::string key,
                                 std::int64_t at_revision, CachedPtr* found) {
    pb::TxnRequest txn;
    auto* compare = txn.add_compare();
    compare->set_key(key);
    compare->set_target(pb::Compare::MOD);
    compare->set_result(pb::Compare::EQUAL);
    compare->set_mod_revision(at_revision);
    txn.add_success()->mutable_request_delete_range()->set_key(key);
    txn.add_failure()->mutable_request_range()->set_key(key);
    CO_TRY(auto answer, co_await store_.txn(std::move(txn)));
    if (answer.succeeded()) co_return true;
    auto* range = answer.mutable_responses(0)->mutable_response_range();
    found->reset();
    if (range->kvs_size() > 0)
        *found = Cached::make(caches_.of(resource).resource(), std::move(key),
                              range->kvs(0).mod_revision(),
                              std::move(*range->mutable_kvs(0)->mutable_value()));
    co_return false;
}

base::Task<api::ObjectPtr> Registry::create_stored(const api::ResourceInfo& resource,
                                                   const api::ResourceInfo& asked,
                                                   std::string namespace_name,
                                                   std::unique_ptr<api::Message> object,
                                                   WriteContext context) {
    auto* m = api::mutable_meta(object.get());
    if (!m->resourceversion().empty())
        co_return api::bad_request("resourceVersion should not be set on objects to be created");
    if (resource.namespaced) {
        if (m->namespace_().empty()) m->set_namespace_(namespace_name);
        if (m->namespace_() != namespace_name)
            co_return api::bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request");
    } else {
        m->clear_namespace_();
    }
    const bool generated = m->name().empty() && !m->generatename().empty();
    const std::string base_name = m->generatename().substr(0, kMaxGeneratedBase);
    if (generated) m->set_name(base_name + api::random_suffix(kSuffixLetters));
    m->set_uid(base::random_uuid());
    *m->mutable_creationtimestamp() = now();
    m->clear_deletiontimestamp();
    m->clear_deletiongraceperiodseconds();
    m->clear_selflink();
    prepare_create(resource, object.get());
    api::set_defaults(object.get());
    std::shared_ptr<api::Message> shared = std::move(object);
    CO_TRY_VOID(co_await admission_->admit_create(resource, shared, context));
    if (auto errors = validate_create(resource, *shared); !errors.empty()) {
        co_await admission_->release(resource, shared);
        co_return api::invalid(asked, m->name(), std::move(errors));
    }
    if (context.dry_run) {
        co_await admission_->release(resource, shared);
        co_return api::ObjectPtr(std::move(shared));
    }
    for (int attempt = 0;; ++attempt) {
        CachedPtr found;
        std::string key = resource.storage_key(m->namespace_(), m->name());
        auto written = co_await write(resource, std::move(key), shared, 0, &found);
        if (written && *written) co_return std::move(**written);
        if (written && generated && attempt < kNameAttempts) {
            m->set_name(base_name + api::random_suffix(kSuffixLetters));
            continue;
        }
        // A write that may have happened keeps what was allocated for it; only a refusal gives it
        // back.
        if (written) co_await admission_->release(resource, shared);
        if (!written) co_return written.error();
        co_return api::already_exists(asked.qualified(), m->name());
    }
}

base::Task<api::ObjectPtr> Registry::update_stored(const api::ResourceInfo& resource,
                                                   const api::ResourceInfo& asked,
                                                   std::string namespace_name, std::string name,
                                                   std::string subresource, Transform transform,
                                                   WriteContext context) {
    const std::string key = resource.storage_key(namespace_name, name);
    CachedPtr current = caches_.of(resource).find(key);
    bool fresh = false;
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
        if (!current && !fresh) {
            CO_TRY(current, co_await read_store(resource, key));
            fresh = true;
        }
        if (!current) co_return api::not_found(asked.qualified(), name);
        const api::ObjectPtr old = current->object();
        auto transformed = transform(*old);
        if (!transformed) {
            // What was wrong may be so only with what the cache had.
            if (fresh) co_return transformed.error();
            CO_TRY(current, co_await read_store(resource, key));
            fresh = true;
            continue;
        }
        std::shared_ptr<api::Message> object = std::move(*transformed);
        auto* m = api::mutable_meta(object.get());
        const bool stale = !m->resourceversion().empty() &&
                           m->resourceversion() != std::to_string(current->revision());
        const bool other_uid = !m->uid().empty() && m->uid() != api::meta_of(*old).uid();
        if (stale || other_uid) {
            if (!fresh) {
                CO_TRY(current, co_await read_store(resource, key));
                fresh = true;
                continue;
            }
            if (other_uid)
                co_return api::conflict(asked.qualified(), name,
                                        "Precondition failed: UID in precondition: " + m->uid() +
                                            ", UID in object meta: " + api::meta_of(*old).uid());
            co_return api::conflict(asked.qualified(), name);
        }
        prepare_update(resource, object.get(), *old, subresource);
        if (subresource.empty()) api::set_defaults(object.get());
        CO_TRY_VOID(co_await admission_->admit_update(resource, object, old, subresource, context));
        if (auto errors = validate_update(resource, *object, *old, subresource); !errors.empty())
            co_return api::invalid(asked, name, std::move(errors));
        // The last finalizer of an object that is being deleted is gone: so is the object.
        const bool gone = api::is_deleting(*old) && !blocked_by_finalizers(*object) &&
                          m->deletiongraceperiodseconds() == 0;
        m->clear_resourceversion();
        if (context.dry_run) {
            m->set_resourceversion(std::to_string(current->revision()));
            co_return api::ObjectPtr(std::move(object));
        }
        CachedPtr found;
        if (gone) {
            CO_TRY(const bool erased, co_await erase(resource, key, current->revision(), &found));
            if (erased) {
                m->set_resourceversion(std::to_string(current->revision()));
                co_return api::ObjectPtr(std::move(object));
            }
        } else {
            // A write that changes nothing is none: it makes no revision and no event.
            if (encode(resource, *object) == current->bytes()) {
                m->set_resourceversion(std::to_string(current->revision()));
                co_return api::ObjectPtr(std::move(object));
            }
            CO_TRY(auto written,
                   co_await write(resource, key, object, current->revision(), &found));
            if (written) co_return std::move(*written);
        }
        current = std::move(found);
        fresh = true;
    }
    co_return api::conflict(asked.qualified(), name);
}

base::Task<Removed> Registry::remove_stored(const api::ResourceInfo& resource,
                                            const api::ResourceInfo& asked,
                                            std::string namespace_name, std::string name,
                                            RemoveOptions remove_options, WriteContext context) {
    const auto& options = remove_options.options;
    const std::string key = resource.storage_key(namespace_name, name);
    CO_TRY(CachedPtr current, co_await read_store(resource, key));
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
        if (!current) co_return api::not_found(asked.qualified(), name);
        const api::ObjectPtr old = current->object();
        const auto& before = api::meta_of(*old);
        if (!options.uid.empty() && options.uid != before.uid())
            co_return api::conflict(asked.qualified(), name,
                                    "Precondition failed: UID in precondition: " + options.uid +
                                        ", UID in object meta: " + before.uid());
        if (!options.resource_version.empty() &&
            options.resource_version != std::to_string(current->revision()))
            co_return api::conflict(
                asked.qualified(), name,
                "Precondition failed: ResourceVersion in precondition: " +
                    options.resource_version +
                    ", ResourceVersion in object meta: " + std::to_string(current->revision()));
        CO_TRY_VOID(co_await admission_->admit_delete(resource, old, context));

        std::shared_ptr<api::Message> object = api::clone(*old);
        auto* m = api::mutable_meta(object.get());
        if (options.propagation_policy == "Orphan") set_finalizer(m, "orphan", true);
        if (options.propagation_policy == "Foreground")
            set_finalizer(m, "foregroundDeletion", true);
        if (options.propagation_policy == "Background") {
            set_finalizer(m, "orphan", false);
            set_finalizer(m, "foregroundDeletion", false);
        }
        std::int64_t grace = grace_of(*old, options);
        if (before.has_deletiontimestamp())
            grace = std::min(grace, before.deletiongraceperiodseconds());  // grace can only shorten
        const bool marked_already =
            before.has_deletiontimestamp() && grace >= before.deletiongraceperiodseconds();
        const bool waits = grace > 0 || blocked_by_finalizers(*object);
        CachedPtr found;
        if (!waits) {
            if (remove_options.dry_run) co_return Removed{old, true};
            CO_TRY(const bool erased, co_await erase(resource, key, current->revision(), &found));
            if (erased) {
                co_await admission_->release(resource, old);
                co_return Removed{old, true};
            }
        } else {
            if (!marked_already) {
                *m->mutable_deletiontimestamp() =
                    api::to_time(std::chrono::system_clock::now() + std::chrono::seconds(grace));
                m->set_deletiongraceperiodseconds(grace);
                if (m->generation() > 0) m->set_generation(m->generation() + 1);
            }
            if (object->GetDescriptor() == api::core::Namespace::descriptor())
                static_cast<api::core::Namespace*>(object.get())
                    ->mutable_status()
                    ->set_phase("Terminating");
            m->clear_resourceversion();
            if (remove_options.dry_run || encode(resource, *object) == current->bytes()) {
                m->set_resourceversion(std::to_string(current->revision()));
                co_return Removed{std::move(object), false};
            }
            CO_TRY(auto written,
                   co_await write(resource, key, object, current->revision(), &found));
            if (written) co_return Removed{std::move(*written), false};
        }
        current = std::move(found);
    }
    co_return api::conflict(asked.qualified(), name);
}

}  // namespace apiserver
