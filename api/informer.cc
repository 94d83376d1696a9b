#include "api/informer.h"

#include <algorithm>

#include "api/status.h"
#include "base/log.h"

namespace api {

Informer::Informer(base::Loop& loop, std::shared_ptr<Client> client, const ResourceInfo& resource,
                   InformerOptions options)
    : loop_(loop),
      client_(std::move(client)),
      resource_(resource),
      options_(std::move(options)),
      tasks_(loop) {}

Informer::~Informer() = default;

void Informer::add_index(std::string_view name, IndexFunction function) {
    if (indexes_.find(name) != indexes_.end()) return;
    Index& index = indexes_[std::string(name)];
    index.function = std::move(function);
    for (const auto& [key, object] : objects_)
        index_add(&index, key, *object);
}

void Informer::index_by_controller() {
    add_index(kByController, [](const Message& object) {
        const auto* owner = controller_of(object);
        return owner == nullptr ? std::vector<std::string>() : std::vector{owner->uid()};
    });
}

void Informer::on_change(Handler handler) {
    for (const auto& [key, object] : objects_)
        handler(nullptr, object);
    handlers_.push_back(std::move(handler));
}

void Informer::start() {
    if (started_) return;
    started_ = true;
    tasks_.spawn("informer of " + resource_.qualified(), run());
}

base::Awaitable<void> Informer::stop() {
    if (stream_ != nullptr) stream_->cancel();
    co_await tasks_.stop();
}

base::Awaitable<void> Informer::run() {
    while (!tasks_.stopping()) {
        const bool listing = version_.empty();
        auto step = listing ? list_all() : watch_on();
        const auto result = co_await std::move(step);
        if (tasks_.stopping()) co_return;
        if (result) continue;
        if (is_expired(result.error())) {
            version_.clear();
            if (!listing) continue;
        }
        backoff_ = std::clamp(backoff_ * 2, options_.first_backoff, options_.max_backoff);
        LOG_DEBUG("informer", "{} of {} failed: {}; again in {} ms", listing ? "list" : "watch",
                  resource_.qualified(), result.error().to_string(), backoff_.count());
        (void)co_await base::sleep_for(backoff_);
    }
}

base::Task<void> Informer::list_all() {
    ListOptions options;
    options.label_selector = options_.label_selector;
    options.field_selector = options_.field_selector;
    std::string ns = options_.namespace_name;
    CO_TRY(List found, co_await client_->list(resource_, std::move(ns), std::move(options)));
    ++lists_;
    replace(std::move(found.items));
    version_ = found.resource_version;
    synced_ = true;
    co_return base::Status();
}

base::Task<void> Informer::watch_on() {
    WatchOptions options;
    options.label_selector = options_.label_selector;
    options.field_selector = options_.field_selector;
    options.resource_version = version_;
    std::string ns = options_.namespace_name;
    CO_TRY(stream_, co_await client_->watch(resource_, std::move(ns), std::move(options)));
    auto stream = stream_;
    const auto began = std::chrono::steady_clock::now();
    while (!tasks_.stopping()) {
        auto next = co_await stream->next();
        if (!next) {
            stream_.reset();
            co_return next.error();
        }
        if (!next->has_value()) break;
        const WatchEvent& event = **next;
        version_ = meta_of(*event.object).resourceversion();
        backoff_ = base::Millis(0);
        switch (event.type) {
            case EventType::kAdded:
            case EventType::kModified:
                put(event.object);
                break;
            case EventType::kDeleted:
                erase(key_of(*event.object), event.object);
                break;
            case EventType::kBookmark:
                break;
        }
    }
    stream_.reset();
    // A server that ends each watch at once must not make this loop hot.
    if (std::chrono::steady_clock::now() - began < std::chrono::seconds(1))
        co_return base::unavailable("the watch ended at once");
    co_return base::Status();
}

void Informer::replace(std::vector<ObjectPtr> items) {
    std::set<std::string, std::less<>> present;
    for (auto& item : items) {
        present.insert(key_of(*item));
        put(std::move(item));
    }
    std::vector<std::pair<std::string, ObjectPtr>> gone;
    for (const auto& [key, object] : objects_)
        if (present.find(key) == present.end()) gone.emplace_back(key, object);
    for (const auto& [key, object] : gone)
        erase(key, object);
}

void Informer::put(ObjectPtr object) {
    auto [it, fresh] = objects_.try_emplace(key_of(*object));
    ObjectPtr before = it->second;
    if (!fresh) {
        if (meta_of(*before).resourceversion() == meta_of(*object).resourceversion() &&
            meta_of(*before).uid() == meta_of(*object).uid())
            return;
        index_remove(it->first, *before);
    }
    it->second = object;
    for (auto& [name, index] : indexes_)
        index_add(&index, it->first, *object);
    // The same name, another object: handlers see the end of the old one.
    if (before != nullptr && meta_of(*before).uid() != meta_of(*object).uid()) {
        notify(before, nullptr);
        before = nullptr;
    }
    notify(before, object);
}

void Informer::erase(const std::string& key, const ObjectPtr& last) {
    const auto it = objects_.find(key);
    if (it == objects_.end()) return;
    index_remove(it->first, *it->second);
    objects_.erase(it);
    notify(last, nullptr);
}

void Informer::index_add(Index* index, std::string_view key, const Message& object) const {
    for (auto& value : index->function(object))
        index->keys[std::move(value)].insert(key);
}

void Informer::index_remove(std::string_view key, const Message& object) {
    for (auto& [name, index] : indexes_) {
        for (const auto& value : index.function(object)) {
            const auto it = index.keys.find(value);
            if (it == index.keys.end()) continue;
            it->second.erase(key);
            if (it->second.empty()) index.keys.erase(it);
        }
    }
}

void Informer::notify(const ObjectPtr& before, const ObjectPtr& now) {
    for (const auto& handler : handlers_)
        handler(before, now);
}

ObjectPtr Informer::get(const std::string& key) const {
    const auto it = objects_.find(key);
    return it == objects_.end() ? nullptr : it->second;
}

std::vector<ObjectPtr> Informer::list() const {
    std::vector<ObjectPtr> out;
    out.reserve(objects_.size());
    for (const auto& [key, object] : objects_)
        out.push_back(object);
    return out;
}

std::vector<ObjectPtr> Informer::in_namespace(std::string_view namespace_name) const {
    const std::string prefix = std::string(namespace_name) + "/";
    std::vector<ObjectPtr> out;
    for (auto it = objects_.lower_bound(prefix);
         it != objects_.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it)
        out.push_back(it->second);
    return out;
}

std::vector<ObjectPtr> Informer::by_index(std::string_view index, const std::string& value) const {
    const auto it = indexes_.find(index);
    CHECK(it != indexes_.end(), "no index {}", index);
    std::vector<ObjectPtr> out;
    const auto keys = it->second.keys.find(value);
    if (keys == it->second.keys.end()) return out;
    for (const auto key : keys->second)
        out.push_back(objects_.find(key)->second);
    return out;
}

void Informer::for_each(const std::function<void(const ObjectPtr&)>& visit) const {
    for (const auto& [key, object] : objects_)
        visit(object);
}

Informers::Informers(base::Loop& loop, std::shared_ptr<Client> client)
    : loop_(loop), client_(std::move(client)) {}
Informers::~Informers() = default;

Informer& Informers::of(const ResourceInfo& resource) {
    auto& informer = informers_[resource.api_version() + "/" + std::string(resource.plural)];
    if (informer == nullptr) {
        informer = std::make_unique<Informer>(loop_, client_, resource);
        if (started_) informer->start();
    }
    return *informer;
}

void Informers::start() {
    started_ = true;
    for (auto& [name, informer] : informers_)
        informer->start();
}

bool Informers::has_synced() const {
    return std::all_of(informers_.begin(), informers_.end(),
                       [](const auto& entry) { return entry.second->has_synced(); });
}

base::Task<void> Informers::wait_synced() {
    while (!has_synced()) {
        if (stopped_) co_return base::cancelled("the informers were stopped");
        CO_TRY_VOID(co_await base::sleep_for(base::Millis(5)));
    }
    co_return base::Status();
}

base::Awaitable<void> Informers::stop() {
    stopped_ = true;
    for (auto& [name, informer] : informers_)
        co_await informer->stop();
}

}  // namespace api
