#include "apiserver/cache/object_cache.h"

#include <algorithm>

#include "api/codec/envelope.h"
#include "api/codec/json.h"
#include "api/conversion/conversion.h"
#include "base/log.h"
#include "kvstore/mvcc/record.h"

namespace apiserver {
namespace {

constexpr std::string_view kRoot = "/registry/";
constexpr std::string_view kRootEnd = "/registry0";  // '0' follows '/'
constexpr std::int64_t kLoadPage = 500;
// Recent events kept a resource: enough for a watch to resume over a reconnect.
constexpr std::size_t kRecentEvents = 4096;
constexpr std::size_t kRecentBytes = 8 << 20;
constexpr base::Millis kRetryMin{50};
constexpr base::Millis kRetryMax{2000};

template <class T, class Make>
std::shared_ptr<const T> shared_once(std::weak_ptr<const T>* slot, Make make) {
    if (auto have = slot->lock()) return have;
    std::shared_ptr<const T> made = make();
    *slot = made;
    return made;
}

api::TypeMeta type_meta(const api::ResourceInfo& r) {
    return {r.api_version(), std::string(r.kind)};
}

}  // namespace

std::shared_ptr<const Cached> Cached::make(const api::ResourceInfo& resource, std::string key,
                                           std::int64_t revision, std::string bytes) {
    std::shared_ptr<const Cached> out(
        new Cached(resource, std::move(key), revision, std::move(bytes)));
    if (out->decode()) return out;
    LOG_ERROR("apiserver", "{} at revision {} is not a {}", out->key_, revision,
              resource.message_name);
    return nullptr;
}

std::shared_ptr<const Cached> Cached::at(std::int64_t revision) const {
    return std::shared_ptr<const Cached>(new Cached(resource_, key_, revision, bytes_));
}

api::ObjectPtr Cached::decode() const {
    auto envelope = api::decode_envelope(bytes_);
    std::unique_ptr<api::Message> message(resource_.prototype().New());
    if (!envelope ||
        !message->ParseFromArray(envelope->raw.data(), static_cast<int>(envelope->raw.size())))
        return nullptr;
    api::mutable_meta(message.get())->set_resourceversion(std::to_string(revision_));
    return message;
}

std::shared_ptr<const Cached> Cached::in_version(const std::shared_ptr<const Cached>& object,
                                                 const api::ResourceInfo& resource) {
    if (object == nullptr || &object->resource_ == &resource) return object;
    return shared_once(&object->view_, [&] {
        std::shared_ptr<Cached> view(
            new Cached(resource, object->key_, object->revision_, object->bytes_));
        view->source_ = object;
        return view;
    });
}

api::ObjectPtr Cached::object() const {
    return shared_once(&object_, [this]() -> api::ObjectPtr {
        if (source_ != nullptr) return api::convert(*source_->object(), resource_);
        auto decoded = decode();
        CHECK(decoded != nullptr, "{} was an object when it came", key_);
        return decoded;
    });
}

net::SharedBytes Cached::json() const {
    return shared_once(
        &json_, [this] { return net::share(api::to_json(*object(), type_meta(resource_))); });
}

net::SharedBytes Cached::protobuf() const {
    return shared_once(&protobuf_, [this] {
        return net::share(api::encode_envelope(type_meta(resource_), *object()));
    });
}

CachedPtr ObjectCache::find(std::string_view key) const {
    const auto it = objects_.find(key);
    return it == objects_.end() ? nullptr : it->second;
}

void ObjectCache::for_each(std::string_view prefix,
                           const std::function<bool(const CachedPtr&)>& f) const {
    for (auto it = objects_.lower_bound(prefix);
         it != objects_.end() && it->first.starts_with(prefix); ++it)
        if (!f(it->second)) return;
}

std::size_t ObjectCache::count(std::string_view prefix) const {
    std::size_t n = 0;
    for (auto it = objects_.lower_bound(prefix);
         it != objects_.end() && it->first.starts_with(prefix); ++it)
        ++n;
    return n;
}

bool ObjectCache::events_since(std::int64_t revision, std::vector<CacheEventPtr>* out) const {
    if (revision < complete_since_) return false;
    const auto from =
        std::upper_bound(recent_.begin(), recent_.end(), revision,
                         [](std::int64_t r, const CacheEventPtr& e) { return r < e->revision; });
    out->assign(from, recent_.end());
    return true;
}

void ObjectCache::loaded(std::int64_t revision) {
    complete_since_ = revision;
}

void ObjectCache::clear() {
    objects_.clear();
    recent_.clear();
    recent_bytes_ = 0;
    std::vector<Subscriber*> subscribers = subscribers_;
    for (auto* s : subscribers)
        s->on_reset();
}

void ObjectCache::apply(const kvstore::Event& event) {
    const auto record = kvstore::RecordView::parse(event.record);
    CHECK(record.has_value());
    auto made = std::make_shared<CacheEvent>();
    made->revision = record->mod_revision;
    made->previous = find(event.key);
    if (!event.is_delete)
        made->object =
            Cached::make(resource_, event.key, made->revision, std::string(record->value));
    if (made->object) {
        objects_[event.key] = made->object;
    } else {
        // Deleted, or overwritten by something that is no object.
        if (!made->previous) return;
        made->tombstone = made->previous->at(made->revision);
        objects_.erase(event.key);
    }
    recent_bytes_ += made->shown().bytes().size();
    CacheEventPtr shared = std::move(made);
    recent_.push_back(shared);
    while (recent_.size() > kRecentEvents || recent_bytes_ > kRecentBytes) {
        const auto& oldest = recent_.front();
        recent_bytes_ -= oldest->shown().bytes().size();
        complete_since_ = oldest->revision;
        recent_.pop_front();
    }
    // A subscriber may leave while it is told.
    const std::vector<Subscriber*> subscribers = subscribers_;
    for (auto* s : subscribers)
        if (std::find(subscribers_.begin(), subscribers_.end(), s) != subscribers_.end())
            s->on_event(shared);
}

void ObjectCache::progress(std::int64_t revision) {
    const std::vector<Subscriber*> subscribers = subscribers_;
    for (auto* s : subscribers)
        if (std::find(subscribers_.begin(), subscribers_.end(), s) != subscribers_.end())
            s->on_progress(revision);
}

CacheSet::CacheSet(base::Loop& loop, kvstore::Client& store)
    : loop_(loop), store_(store), tasks_(loop) {
    for (const auto& r : api::all_resources()) {
        if (r.storage_prefix.empty() || !api::is_stored_as_served(r)) continue;
        const bool added =
            caches_.emplace(std::string(r.storage_prefix) + "/", std::make_unique<ObjectCache>(r))
                .second;
        CHECK(added, "two resources are stored below {}", r.storage_prefix);
    }
}

CacheSet::~CacheSet() = default;

void CacheSet::start() {
    tasks_.spawn("cache feed", feed());
}

base::Awaitable<void> CacheSet::stop() {
    if (watcher_) watcher_->cancel();
    co_await tasks_.stop();
    for (auto& waiter : std::exchange(waiters_, {}))
        waiter.resolve(false);
}

ObjectCache& CacheSet::of(const api::ResourceInfo& resource) {
    const auto it = caches_.find(std::string(resource.storage_prefix) + "/");
    CHECK(it != caches_.end(), "{} is not stored", resource.plural);
    return *it->second;
}

ObjectCache* CacheSet::cache_of_key(std::string_view key) {
    // The prefix that sorts last before the key: no stored prefix begins another.
    auto it = caches_.upper_bound(key);
    if (it == caches_.begin()) return nullptr;
    --it;
    return key.starts_with(it->first) ? it->second.get() : nullptr;
}

void CacheSet::advance(std::int64_t revision) {
    if (revision <= revision_) return;
    revision_ = revision;
    for (auto& [prefix, cache] : caches_)
        cache->progress(revision);
    std::vector<Waiter> woken;
    std::erase_if(waiters_, [&](Waiter& w) {
        if (w.revision > revision) return false;
        woken.push_back(std::move(w));
        return true;
    });
    for (auto& w : woken)
        w.resolve(true);
}

base::Awaitable<void> CacheSet::feed() {
    auto pause = kRetryMin;
    while (!tasks_.stopping()) {
        const auto began = std::chrono::steady_clock::now();
        auto ended = co_await load_and_watch();
        if (tasks_.stopping()) co_return;
        if (!ended)
            LOG_WARN("apiserver", "the watch of the store ended, loading again: {}",
                     ended.error().message);
        if (std::chrono::steady_clock::now() - began > kRetryMax) pause = kRetryMin;
        if (auto slept = co_await base::sleep_for(pause); !slept) co_return;
        pause = std::min(pause * 2, kRetryMax);
    }
}

base::Task<std::int64_t> CacheSet::load() {
    std::int64_t at = 0;
    std::string from(kRoot);
    for (;;) {
        etcdserverpb::RangeRequest request;
        request.set_key(from);
        request.set_range_end(std::string(kRootEnd));
        request.set_limit(kLoadPage);
        request.set_revision(at);
        CO_TRY(auto page, co_await store_.range(std::move(request)));
        if (at == 0) at = page.header().revision();
        for (auto& kv : *page.mutable_kvs()) {
            from = kv.key() + '\0';
            if (auto* cache = cache_of_key(kv.key()))
                cache->load(Cached::make(cache->resource(), std::move(*kv.mutable_key()),
                                         kv.mod_revision(), std::move(*kv.mutable_value())));
        }
        if (!page.more()) co_return at;
    }
}

base::Task<void> CacheSet::load_and_watch() {
    ready_ = false;
    for (auto& [prefix, cache] : caches_)
        cache->clear();
    CO_TRY(const std::int64_t at, co_await load());
    for (auto& [prefix, cache] : caches_)
        cache->loaded(at);
    kvstore::WatchOptions options;
    options.key = kRoot;
    options.range_end = kRootEnd;
    options.start_revision = at + 1;
    options.progress = true;
    CO_TRY(watcher_, co_await store_.watch(std::move(options)));
    ready_ = true;
    revision_ = std::min(revision_, at);
    advance(at);
    for (;;) {
        CO_TRY(auto update, co_await watcher_->next());
        for (const auto& event : update.events)
            if (auto* cache = cache_of_key(event->key)) cache->apply(*event);
        advance(update.revision);
    }
}

base::Task<void> CacheSet::wait_for(std::int64_t revision, base::Millis timeout) {
    if (ready_ && revision_ >= revision) co_return base::Status();
    const std::uint64_t id = next_waiter_++;
    auto timer = std::make_shared<base::Timer>(loop_);
    timer->after(timeout, [this, id] {
        const auto it = std::find_if(waiters_.begin(), waiters_.end(),
                                     [&](const Waiter& w) { return w.id == id; });
        if (it == waiters_.end()) return;
        auto resolve = std::move(it->resolve);
        waiters_.erase(it);
        resolve(false);
    });
    auto start = [this, revision, id](base::UniqueFunction<void(bool)> resolve) {
        waiters_.push_back({revision, id, std::move(resolve)});
    };
    // Another key than ours may have moved the store on: ask for word of where it stands.
    store_.request_progress();
    const bool reached = co_await base::suspend<bool>(std::move(start));
    timer->cancel();
    if (!reached)
        co_return base::unavailable("the watch cache did not catch up with the store in time");
    co_return base::Status();
}

base::Task<std::int64_t> CacheSet::wait_fresh(base::Millis timeout) {
    // A linearizable read of nothing: its header says how far the store is.
    etcdserverpb::RangeRequest request;
    request.set_key(std::string(kRoot));
    request.set_count_only(true);
    CO_TRY(auto answer, co_await store_.range(std::move(request)));
    const std::int64_t revision = answer.header().revision();
    CO_TRY_VOID(co_await wait_for(revision, timeout));
    co_return revision;
}

}  // namespace apiserver
