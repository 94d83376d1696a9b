#include "controllers/garbage_collector.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/status.h"
#include "api/util.h"
#include "base/log.h"

namespace controllers {
namespace {

constexpr int kWorkers = 20;
constexpr std::string_view kByOwner = "any owner";
constexpr const char* kForeground = "foregroundDeletion";
constexpr const char* kOrphan = "orphan";
// Owners known to be gone: bounded, forgotten all at once.
constexpr std::size_t kMaxGone = 10000;

bool deletes_dependents(const api::Message& object) {
    return api::is_deleting(object) && api::has_finalizer(object, kForeground);
}
bool orphans_dependents(const api::Message& object) {
    return api::is_deleting(object) && api::has_finalizer(object, kOrphan);
}

class GarbageCollector final : public api::Controller {
  public:
    GarbageCollector(base::Loop& loop, std::shared_ptr<api::Client> client,
                     api::Informers& informers)
        : Controller("garbage-collector", loop, kWorkers), client_(std::move(client)) {
        std::set<std::string_view> stored;
        for (const auto& resource : api::all_resources()) {
            const bool fits = resource.has_verb("list") && resource.has_verb("watch") &&
                              resource.has_verb("delete") && !resource.storage_prefix.empty() &&
                              resource.plural != "events";
            // One kind may be served in several versions.
            if (fits && resource.api_version() == resource.storage_version &&
                stored.insert(resource.storage_prefix).second)
                monitor(informers.of(resource));
        }
    }

  private:
    struct Item {
        std::size_t kind;
        std::string key;
    };
    enum class Owner { kSolid, kGone, kWaiting };

    void monitor(api::Informer& informer) {
        const std::size_t kind = monitors_.size();
        monitors_.push_back(&informer);
        kinds_[std::string(informer.resource().group) + "/" +
               std::string(informer.resource().kind)] = kind;
        informer.add_index(kByOwner, [](const api::Message& object) {
            std::vector<std::string> out;
            for (const auto& owner : api::meta_of(object).ownerreferences())
                out.push_back(owner.uid());
            return out;
        });
        informer.on_change(
            [this, kind](const auto& before, const auto& now) { on_change(kind, before, now); });
    }

    void enqueue(std::size_t kind, const api::Message& object) {
        queue().add(std::to_string(kind) + "|" + api::key_of(object));
    }
    static Item parse(const std::string& key) {
        const auto bar = key.find('|');
        return {static_cast<std::size_t>(std::stoul(key.substr(0, bar))), key.substr(bar + 1)};
    }

    // npos when it is no kind that is watched.
    std::size_t kind_of(const api::meta::OwnerReference& owner) const {
        const auto slash = owner.apiversion().find('/');
        const auto group = slash == std::string::npos ? "" : owner.apiversion().substr(0, slash);
        const auto it = kinds_.find(group + "/" + owner.kind());
        return it == kinds_.end() ? std::string::npos : it->second;
    }
    api::ObjectPtr cached(const api::meta::OwnerReference& owner, const std::string& ns) const {
        const auto kind = kind_of(owner);
        if (kind == std::string::npos) return nullptr;
        const auto& info = monitors_[kind]->resource();
        auto found = monitors_[kind]->get(api::key_of(info.namespaced ? ns : "", owner.name()));
        return found != nullptr && api::meta_of(*found).uid() == owner.uid() ? found : nullptr;
    }

    template <class Visit>
    void for_dependents(const std::string& uid, Visit visit) const {
        for (std::size_t kind = 0; kind < monitors_.size(); ++kind)
            for (const auto& object : monitors_[kind]->by_index(kByOwner, uid))
                visit(kind, object);
    }

    void on_change(std::size_t kind, const api::ObjectPtr& before, const api::ObjectPtr& now) {
        const auto& object = now != nullptr ? *now : *before;
        if (now == nullptr) {
            gone_.insert(api::meta_of(object).uid());
            for_dependents(api::meta_of(object).uid(),
                           [this](std::size_t k, const auto& d) { enqueue(k, *d); });
            wake_owners(object);
            return;
        }
        if (deletes_dependents(object) || orphans_dependents(object)) {
            enqueue(kind, object);
            for_dependents(api::meta_of(object).uid(),
                           [this](std::size_t k, const auto& d) { enqueue(k, *d); });
        }
        if (before != nullptr) wake_owners(*before);
        for (const auto& owner : api::meta_of(object).ownerreferences()) {
            const auto there = cached(owner, api::meta_of(object).namespace_());
            if (there == nullptr || api::is_deleting(*there)) {
                enqueue(kind, object);
                break;
            }
        }
    }

    // Owners that wait for this one to go.
    void wake_owners(const api::Message& object) {
        for (const auto& ref : api::meta_of(object).ownerreferences()) {
            const auto owner = cached(ref, api::meta_of(object).namespace_());
            if (owner != nullptr && deletes_dependents(*owner)) enqueue(kind_of(ref), *owner);
        }
    }

    base::Task<void> reconcile(std::string key) override {
        const Item item = parse(key);
        const auto object = monitors_[item.kind]->get(item.key);
        if (object == nullptr) co_return base::Status();
        if (orphans_dependents(*object)) co_return co_await orphan(item.kind, object);
        if (deletes_dependents(*object)) co_return co_await finish_foreground(item.kind, object);
        if (api::is_deleting(*object) || api::meta_of(*object).ownerreferences().empty())
            co_return base::Status();
        co_return co_await judge(item.kind, object);
    }

    base::Task<void> judge(std::size_t kind, api::ObjectPtr object) {
        std::set<std::string> unneeded;
        bool solid = false;
        bool waiting = false;
        for (const auto& owner : api::meta_of(*object).ownerreferences()) {
            CO_TRY(const auto state, co_await look(owner, api::meta_of(*object).namespace_()));
            solid = solid || state == Owner::kSolid;
            waiting = waiting || state == Owner::kWaiting;
            if (state != Owner::kSolid) unneeded.insert(owner.uid());
        }
        if (solid) {
            if (unneeded.empty()) co_return base::Status();
            co_return co_await drop_references(kind, object, std::move(unneeded));
        }
        bool has_dependents = false;
        for_dependents(api::meta_of(*object).uid(),
                       [&](std::size_t, const auto&) { has_dependents = true; });
        api::DeleteOptions options;
        options.uid = api::meta_of(*object).uid();
        options.resource_version = api::meta_of(*object).resourceversion();
        options.propagation_policy = waiting && has_dependents              ? "Foreground"
                                     : api::has_finalizer(*object, kOrphan) ? "Orphan"
                                                                            : "Background";
        const auto& m = api::meta_of(*object);
        auto removed = co_await client_->remove(monitors_[kind]->resource(), m.namespace_(),
                                                m.name(), std::move(options));
        if (!removed && !api::is_not_found(removed.error())) co_return removed.error();
        co_return base::Status();
    }

    base::Task<Owner> look(api::meta::OwnerReference owner, std::string ns) {
        const auto kind = kind_of(owner);
        // What is not known here may well exist.
        if (kind == std::string::npos) co_return Owner::kSolid;
        // An owner in a namespace for an object in none: nobody can say which is meant.
        if (monitors_[kind]->resource().namespaced && ns.empty()) co_return Owner::kSolid;
        auto found = cached(owner, ns);
        if (found == nullptr) {
            if (gone_.count(owner.uid()) != 0) co_return Owner::kGone;
            const auto& info = monitors_[kind]->resource();
            std::string where = info.namespaced ? ns : "";
            auto live = co_await client_->get(info, std::move(where), owner.name());
            if (!live && !api::is_not_found(live.error())) co_return live.error();
            if (!live || api::meta_of(**live).uid() != owner.uid()) {
                if (gone_.size() >= kMaxGone) gone_.clear();
                gone_.insert(owner.uid());
                co_return Owner::kGone;
            }
            found = *live;
        }
        co_return deletes_dependents(*found) ? Owner::kWaiting : Owner::kSolid;
    }

    base::Task<void> drop_references(std::size_t kind, api::ObjectPtr object,
                                     std::set<std::string> uids) {
        auto next = api::clone(*object);
        auto* owners = api::mutable_meta(next.get())->mutable_ownerreferences();
        for (int i = owners->size() - 1; i >= 0; --i)
            if (uids.count(owners->Get(i).uid()) != 0) owners->DeleteSubrange(i, 1);
        co_return co_await write(kind, std::move(next));
    }

    base::Task<void> drop_finalizer(std::size_t kind, api::ObjectPtr object, std::string name) {
        auto next = api::clone(*object);
        auto* all = api::mutable_meta(next.get())->mutable_finalizers();
        all->erase(std::remove(all->begin(), all->end(), name), all->end());
        co_return co_await write(kind, std::move(next));
    }

    base::Task<void> write(std::size_t kind, std::unique_ptr<api::Message> object) {
        api::ObjectPtr plain = std::move(object);
        const auto written =
            co_await client_->update(monitors_[kind]->resource(), std::move(plain), std::string());
        if (!written && !api::is_not_found(written.error())) co_return written.error();
        co_return base::Status();
    }

    base::Task<void> orphan(std::size_t kind, api::ObjectPtr owner) {
        const std::string uid = api::meta_of(*owner).uid();
        std::vector<std::pair<std::size_t, api::ObjectPtr>> dependents;
        for_dependents(uid, [&](std::size_t k, const auto& d) { dependents.emplace_back(k, d); });
        for (const auto& [k, dependent] : dependents) {
            std::set<std::string> uids;
            uids.insert(uid);
            CO_TRY_VOID(co_await drop_references(k, dependent, std::move(uids)));
        }
        co_return co_await drop_finalizer(kind, owner, kOrphan);
    }

    base::Task<void> finish_foreground(std::size_t kind, api::ObjectPtr owner) {
        const std::string uid = api::meta_of(*owner).uid();
        bool blocked = false;
        for_dependents(uid, [&](std::size_t k, const auto& dependent) {
            for (const auto& ref : api::meta_of(*dependent).ownerreferences())
                if (ref.uid() == uid && ref.blockownerdeletion()) blocked = true;
            if (!api::is_deleting(*dependent)) enqueue(k, *dependent);
        });
        if (blocked) co_return base::Status();
        co_return co_await drop_finalizer(kind, owner, kForeground);
    }

    std::shared_ptr<api::Client> client_;
    std::vector<api::Informer*> monitors_;
    std::map<std::string, std::size_t> kinds_;  // "group/Kind" → place in monitors_
    std::set<std::string> gone_;
};

}  // namespace

std::unique_ptr<api::Controller> make_garbage_collector(base::Loop& loop,
                                                        std::shared_ptr<api::Client> client,
                                                        api::Informers& informers) {
    return std::make_unique<GarbageCollector>(loop, std::move(client), informers);
}

}  // namespace controllers
