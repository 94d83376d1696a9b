#include "api/fake_client.h"

#include <algorithm>

#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/selector.h"
#include "api/status.h"
#include "api/util.h"

namespace api {
namespace {

constexpr const char* kForeground = "foregroundDeletion";
constexpr const char* kOrphan = "orphan";

const google::protobuf::FieldDescriptor* field_of(const Message& object, const char* name) {
    return object.GetDescriptor()->FindFieldByName(name);
}

// Makes `field` of `to` what it is in `from`.
void take_field(const Message& from, Message* to, const google::protobuf::FieldDescriptor* field) {
    if (field == nullptr) return;
    if (from.GetReflection()->HasField(from, field))
        to->GetReflection()->MutableMessage(to, field)->CopyFrom(
            from.GetReflection()->GetMessage(from, field));
    else
        to->GetReflection()->ClearField(to, field);
}

bool same_field(const Message& a, const Message& b, const char* name) {
    const auto* field = field_of(a, name);
    if (field == nullptr || field->is_repeated() || field->message_type() == nullptr) return true;
    return same(a.GetReflection()->GetMessage(a, field), b.GetReflection()->GetMessage(b, field));
}

bool in_scope(const Message& object, const std::string& namespace_name) {
    return namespace_name.empty() || meta_of(object).namespace_() == namespace_name;
}

}  // namespace

class FakeClient::Stream final : public WatchStream {
  public:
    Stream(const ResourceInfo& resource, std::string namespace_name, LabelSelector selector)
        : resource_(resource),
          namespace_name_(std::move(namespace_name)),
          selector_(std::move(selector)) {}

    base::Task<std::optional<WatchEvent>> next() override {
        while (events_.empty() && !cancelled_ && !closed_) {
            auto wait = [this](base::UniqueFunction<void(bool)> resolve) {
                waiter_ = std::move(resolve);
            };
            co_await base::suspend<bool>(wait);
        }
        if (cancelled_) co_return base::cancelled("the watch was cancelled");
        if (events_.empty()) co_return std::optional<WatchEvent>();
        std::optional<WatchEvent> event = std::move(events_.front());
        events_.pop_front();
        co_return event;
    }

    void cancel() override {
        cancelled_ = true;
        wake();
    }
    void close() {
        closed_ = true;
        wake();
    }

    void offer(const Event& event) {
        if (event.resource != &resource_ || !in_scope(*event.object, namespace_name_)) return;
        const bool now = event.type != EventType::kDeleted && matches(event.object);
        const bool before = event.before != nullptr && matches(event.before);
        if (!now && !before) return;
        push(now ? (before ? EventType::kModified : EventType::kAdded) : EventType::kDeleted,
             event.object);
    }
    void push(EventType type, ObjectPtr object) {
        WatchEvent out;
        out.type = type;
        out.object = std::move(object);
        events_.push_back(std::move(out));
        wake();
    }

  private:
    bool matches(const ObjectPtr& object) const {
        return selector_.matches(meta_of(*object).labels());
    }
    void wake() {
        if (waiter_) std::exchange(waiter_, nullptr)(true);
    }

    const ResourceInfo& resource_;
    std::string namespace_name_;
    LabelSelector selector_;
    std::deque<WatchEvent> events_;
    base::UniqueFunction<void(bool)> waiter_;
    bool cancelled_ = false;
    bool closed_ = false;
};

FakeClient::FakeClient() = default;
FakeClient::~FakeClient() = default;

base::Status FakeClient::ask(Action action) {
    std::optional<base::Error> error;
    if (reactor) error = reactor(action);
    if (action.verb != "get" && action.verb != "list" && action.verb != "watch")
        actions.push_back(std::move(action));
    if (error) return *error;
    return {};
}

int FakeClient::count(std::string_view verb, std::string_view resource) const {
    return static_cast<int>(std::count_if(actions.begin(), actions.end(), [&](const Action& a) {
        return a.verb == verb && a.resource == resource;
    }));
}

FakeClient::Objects& FakeClient::objects(const ResourceInfo& resource) {
    return objects_[&resource];
}

base::Task<ObjectPtr> FakeClient::get(const ResourceInfo& resource, std::string namespace_name,
                                      std::string name) {
    Action action{"get", std::string(resource.plural), "", namespace_name, name, nullptr};
    CO_TRY_VOID(ask(std::move(action)));
    auto found = find(resource, key_of(namespace_name, name));
    if (found == nullptr) co_return not_found(resource.qualified(), name);
    co_return found;
}

base::Task<List> FakeClient::list(const ResourceInfo& resource, std::string namespace_name,
                                  ListOptions options) {
    Action action{"list", std::string(resource.plural), "", namespace_name, "", nullptr};
    CO_TRY_VOID(ask(std::move(action)));
    CO_TRY(const auto selector, LabelSelector::parse(options.label_selector));
    List out;
    for (const auto& [key, object] : objects(resource))
        if (in_scope(*object, namespace_name) && selector.matches(meta_of(*object).labels()))
            out.items.push_back(object);
    out.resource_version = std::to_string(version_);
    co_return out;
}

base::Task<std::shared_ptr<WatchStream>> FakeClient::watch(const ResourceInfo& resource,
                                                           std::string namespace_name,
                                                           WatchOptions options) {
    Action action{"watch", std::string(resource.plural), "", namespace_name, "", nullptr};
    CO_TRY_VOID(ask(std::move(action)));
    CO_TRY(auto selector, LabelSelector::parse(options.label_selector));
    const auto since =
        options.resource_version.empty() ? version_ : std::stoll(options.resource_version);
    if (since < oldest_) co_return expired(since, oldest_);
    auto stream = std::make_shared<Stream>(resource, namespace_name, std::move(selector));
    if (options.send_initial_events)
        for (const auto& [key, object] : objects(resource))
            if (in_scope(*object, namespace_name)) stream->push(EventType::kAdded, object);
    for (const auto& event : history_)
        if (event.version > since) stream->offer(event);
    streams_.push_back(stream);
    co_return std::shared_ptr<WatchStream>(std::move(stream));
}

base::Task<ObjectPtr> FakeClient::create(const ResourceInfo& resource, ObjectPtr object) {
    auto made = clone(*object);
    auto* m = mutable_meta(made.get());
    if (m->name().empty() && !m->generatename().empty())
        m->set_name(m->generatename() + random_suffix(5));
    Action action{"create", std::string(resource.plural), "", m->namespace_(), m->name(), object};
    CO_TRY_VOID(ask(std::move(action)));
    if (find(resource, key_of(*made)) != nullptr)
        co_return already_exists(resource.qualified(), m->name());
    if (resource.plural == "namespaces") {
        auto* ns = static_cast<core::Namespace*>(made.get());
        if (ns->spec().finalizers().empty()) ns->mutable_spec()->add_finalizers("kubernetes");
        ns->mutable_status()->set_phase("Active");
    }
    if (resource.plural == "pods" && !static_cast<core::Pod*>(made.get())->status().has_phase())
        static_cast<core::Pod*>(made.get())->mutable_status()->set_phase("Pending");
    m->set_uid("uid-" + std::to_string(next_uid_++));
    m->set_generation(1);
    *m->mutable_creationtimestamp() = to_time(wall_now());
    co_return store(resource, std::move(made), EventType::kAdded);
}

base::Task<ObjectPtr> FakeClient::create_sub(const ResourceInfo& resource,
                                             std::string namespace_name, std::string name,
                                             std::string subresource, ObjectPtr object) {
    Action action{"create", std::string(resource.plural), subresource, namespace_name, name,
                  object};
    CO_TRY_VOID(ask(std::move(action)));
    const std::string key = key_of(namespace_name, name);
    const auto current = find(resource, key);
    if (current == nullptr) co_return not_found(resource.qualified(), name);
    if (subresource == "eviction") {
        CO_TRY_VOID(delete_one(resource, key, DeleteOptions()));
        co_return object;
    }
    if (subresource != "binding")
        co_return not_implemented("FakeClient has no subresource " + subresource);
    auto pod = copy(*as<core::Pod>(current));
    if (!pod->spec().nodename().empty())
        co_return conflict(
            resource.qualified(), name,
            "pod " + name + " is already assigned to node \"" + pod->spec().nodename() + "\"");
    pod->mutable_spec()->set_nodename(as<core::Binding>(object)->target().name());
    store(resource, clone(*pod), EventType::kModified);
    co_return object;
}

base::Result<ObjectPtr> FakeClient::write(const ResourceInfo& resource, const Message& wanted,
                                          const std::string& subresource) {
    const std::string key = key_of(wanted);
    const auto current = find(resource, key);
    if (current == nullptr) return not_found(resource.qualified(), meta_of(wanted).name());
    const auto& had = meta_of(*current);
    const auto& want = meta_of(wanted);
    if (!want.resourceversion().empty() && want.resourceversion() != had.resourceversion())
        return conflict(resource.qualified(), want.name());
    if (!want.uid().empty() && want.uid() != had.uid())
        return conflict(resource.qualified(), want.name(), "another uid");
    std::unique_ptr<Message> next;
    if (subresource == "status" || subresource == "finalize") {
        next = clone(*current);
        take_field(wanted, next.get(),
                   field_of(wanted, subresource == "status" ? "status" : "spec"));
    } else {
        next = clone(wanted);
        if (resource.subresource("status") != nullptr)
            take_field(*current, next.get(), field_of(wanted, "status"));
        auto* m = mutable_meta(next.get());
        m->set_uid(had.uid());
        m->set_resourceversion(had.resourceversion());
        *m->mutable_creationtimestamp() = had.creationtimestamp();
        if (had.has_deletiontimestamp()) {
            *m->mutable_deletiontimestamp() = had.deletiontimestamp();
            m->set_deletiongraceperiodseconds(had.deletiongraceperiodseconds());
        }
        m->set_generation(had.generation() + (same_field(*current, *next, "spec") ? 0 : 1));
    }
    bool finished = is_deleting(*next) && meta_of(*next).finalizers().empty() &&
                    meta_of(*next).deletiongraceperiodseconds() == 0;
    if (finished && resource.plural == "namespaces")
        finished = static_cast<core::Namespace*>(next.get())->spec().finalizers().empty();
    if (finished) {
        drop(resource, key);
        return ObjectPtr(std::move(next));
    }
    if (same(*current, *next)) return current;
    return store(resource, std::move(next), EventType::kModified);
}

base::Task<ObjectPtr> FakeClient::update(const ResourceInfo& resource, ObjectPtr object,
                                         std::string subresource) {
    const auto& m = meta_of(*object);
    Action action{"update", std::string(resource.plural), subresource, m.namespace_(), m.name(),
                  object};
    CO_TRY_VOID(ask(std::move(action)));
    co_return write(resource, *object, subresource);
}

base::Task<ObjectPtr> FakeClient::patch(const ResourceInfo& resource, std::string namespace_name,
                                        std::string name, PatchType, std::string body,
                                        std::string subresource) {
    Action action{"patch", std::string(resource.plural), subresource, namespace_name, name,
                  nullptr};
    CO_TRY_VOID(ask(std::move(action)));
    co_return not_implemented("FakeClient does not apply patches: " + body);
}

base::Status FakeClient::delete_one(const ResourceInfo& resource, const std::string& key,
                                    const DeleteOptions& options) {
    const auto current = find(resource, key);
    if (current == nullptr) return not_found(resource.qualified(), split_key(key).name);
    const auto& had = meta_of(*current);
    if (!options.uid.empty() && options.uid != had.uid())
        return conflict(resource.qualified(), had.name(), "the UID in the precondition differs");
    if (!options.resource_version.empty() && options.resource_version != had.resourceversion())
        return conflict(resource.qualified(), had.name(),
                        "the version in the precondition differs");
    auto next = clone(*current);
    auto* m = mutable_meta(next.get());
    const char* finalizer = options.propagation_policy == "Foreground" ? kForeground
                            : options.propagation_policy == "Orphan"   ? kOrphan
                                                                       : nullptr;
    if (finalizer != nullptr && !has_finalizer(*next, finalizer)) m->add_finalizers(finalizer);
    std::int64_t grace = 0;
    if (resource.plural == "pods") {
        const auto* pod = static_cast<core::Pod*>(next.get());
        if (!pod->spec().nodename().empty()) {
            grace = options.grace_period_seconds.value_or(
                pod->spec().has_terminationgraceperiodseconds()
                    ? pod->spec().terminationgraceperiodseconds()
                    : 30);
            if (m->has_deletiontimestamp())
                grace = std::min(grace, m->deletiongraceperiodseconds());
        }
    }
    const bool namespace_left =
        resource.plural == "namespaces" &&
        !static_cast<core::Namespace*>(next.get())->spec().finalizers().empty();
    if (m->finalizers().empty() && grace == 0 && !namespace_left) {
        drop(resource, key);
        return {};
    }
    if (!m->has_deletiontimestamp())
        *m->mutable_deletiontimestamp() = to_time(wall_now() + std::chrono::seconds(grace));
    m->set_deletiongraceperiodseconds(grace);
    if (namespace_left)
        static_cast<core::Namespace*>(next.get())->mutable_status()->set_phase("Terminating");
    if (!same(*current, *next)) store(resource, std::move(next), EventType::kModified);
    return {};
}

base::Task<void> FakeClient::remove(const ResourceInfo& resource, std::string namespace_name,
                                    std::string name, DeleteOptions options) {
    Action action{"delete", std::string(resource.plural), "", namespace_name, name, nullptr};
    CO_TRY_VOID(ask(std::move(action)));
    co_return delete_one(resource, key_of(namespace_name, name), options);
}

base::Task<void> FakeClient::remove_all(const ResourceInfo& resource, std::string namespace_name,
                                        ListOptions which, DeleteOptions options) {
    Action action{
        "deletecollection", std::string(resource.plural), "", namespace_name, "", nullptr};
    CO_TRY_VOID(ask(std::move(action)));
    CO_TRY(const auto selector, LabelSelector::parse(which.label_selector));
    std::vector<std::string> keys;
    for (const auto& [key, object] : objects(resource))
        if (in_scope(*object, namespace_name) && selector.matches(meta_of(*object).labels()))
            keys.push_back(key);
    for (const auto& key : keys)
        CO_TRY_VOID(delete_one(resource, key, options));
    co_return base::Status();
}

ObjectPtr FakeClient::put(std::shared_ptr<Message> object) {
    const auto& resource = resource_of(object->GetDescriptor());
    auto* m = mutable_meta(object.get());
    const auto current = find(resource, key_of(*object));
    if (m->uid().empty())
        m->set_uid(current != nullptr ? meta_of(*current).uid()
                                      : "uid-" + std::to_string(next_uid_++));
    if (!m->has_creationtimestamp()) *m->mutable_creationtimestamp() = to_time(wall_now());
    return store(resource, clone(*object),
                 current == nullptr ? EventType::kAdded : EventType::kModified);
}

ObjectPtr FakeClient::find(const ResourceInfo& resource, const std::string& key) const {
    const auto kind = objects_.find(&resource);
    if (kind == objects_.end()) return nullptr;
    const auto it = kind->second.find(key);
    return it == kind->second.end() ? nullptr : it->second;
}

std::vector<ObjectPtr> FakeClient::all(const ResourceInfo& resource) const {
    std::vector<ObjectPtr> out;
    const auto kind = objects_.find(&resource);
    if (kind == objects_.end()) return out;
    for (const auto& [key, object] : kind->second)
        out.push_back(object);
    return out;
}

void FakeClient::erase(const ResourceInfo& resource, const std::string& key) {
    if (find(resource, key) != nullptr) drop(resource, key);
}

ObjectPtr FakeClient::store(const ResourceInfo& resource, std::unique_ptr<Message> object,
                            EventType type) {
    mutable_meta(object.get())->set_resourceversion(std::to_string(++version_));
    auto& slot = objects(resource)[key_of(*object)];
    ObjectPtr before = std::exchange(slot, ObjectPtr(std::move(object)));
    emit(type, resource, slot, std::move(before));
    return slot;
}

void FakeClient::drop(const ResourceInfo& resource, const std::string& key) {
    const auto it = objects(resource).find(key);
    auto last = clone(*it->second);
    mutable_meta(last.get())->set_resourceversion(std::to_string(++version_));
    ObjectPtr before = it->second;
    objects(resource).erase(it);
    emit(EventType::kDeleted, resource, ObjectPtr(std::move(last)), std::move(before));
}

void FakeClient::emit(EventType type, const ResourceInfo& resource, ObjectPtr object,
                      ObjectPtr before) {
    Event event{type, &resource, std::move(object), std::move(before), version_};
    std::erase_if(streams_, [](const auto& stream) { return stream.expired(); });
    for (const auto& weak : streams_)
        if (const auto stream = weak.lock()) stream->offer(event);
    history_.push_back(std::move(event));
}

void FakeClient::close_watches() {
    for (const auto& weak : streams_)
        if (const auto stream = weak.lock()) stream->close();
    streams_.clear();
}

void FakeClient::expire_history() {
    oldest_ = ++version_;
    history_.clear();
}

void FakeClient::send_bookmarks() {
    auto mark = std::make_shared<meta::PartialObjectMetadata>();
    mark->mutable_metadata()->set_resourceversion(std::to_string(version_));
    for (const auto& weak : streams_)
        if (const auto stream = weak.lock()) stream->push(EventType::kBookmark, mark);
}

}  // namespace api
