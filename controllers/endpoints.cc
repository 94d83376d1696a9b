#include "controllers/endpoints.h"

#include <algorithm>

#include "api/selector.h"
#include "api/status.h"
#include "api/util.h"

namespace controllers {
namespace {

using api::core::Endpoints;
using api::core::Pod;
using api::core::Service;
using api::discovery::EndpointSlice;
constexpr int kWorkers = 5;
constexpr const char* kServiceName = "kubernetes.io/service-name";
constexpr const char* kManagedBy = "endpointslice.kubernetes.io/managed-by";
constexpr const char* kManager = "endpointslice-controller.k8s.io";
constexpr const char* kHeadless = "service.kubernetes.io/headless";

// What both controllers watch: Services, and the pods behind them.
class ServiceController : public api::Controller {
  protected:
    ServiceController(std::string name, base::Loop& loop, std::shared_ptr<api::Client> client,
                      api::Informers& informers)
        : Controller(std::move(name), loop, kWorkers),
          client_(std::move(client)),
          services_(informers.of<Service>()),
          pods_(informers.of<Pod>()) {
        watch_own(services_);
        pods_.on_change([this](const api::ObjectPtr& before, const api::ObjectPtr& now) {
            on_pod(before, now);
        });
    }

    PodList selected(const Service& service) const {
        const auto selector = api::LabelSelector::from_set(service.spec().selector());
        PodList out;
        for (const auto& object : pods_.in_namespace(service.metadata().namespace_()))
            if (selector.matches(api::meta_of(*object).labels()))
                out.push_back(api::as<Pod>(object));
        return out;
    }
    // Whose endpoints others write are left alone.
    static bool is_ours(const Service& service) {
        return !service.spec().selector().empty() && service.spec().type() != "ExternalName";
    }
    static bool is_headless(const Service& service) { return service.spec().clusterip() == "None"; }

    std::shared_ptr<api::Client> client_;
    api::Informer& services_;
    api::Informer& pods_;

  private:
    void on_pod(const api::ObjectPtr& before, const api::ObjectPtr& now) {
        const auto& any = now != nullptr ? *now : *before;
        for (const auto& object : services_.in_namespace(api::meta_of(any).namespace_())) {
            const auto service = api::as<Service>(object);
            if (!is_ours(*service)) continue;
            const auto selector = api::LabelSelector::from_set(service->spec().selector());
            if ((before != nullptr && selector.matches(api::meta_of(*before).labels())) ||
                (now != nullptr && selector.matches(api::meta_of(*now).labels())))
                queue().add(api::key_of(*service));
        }
    }
};

class EndpointsController final : public ServiceController {
  public:
    EndpointsController(base::Loop& loop, std::shared_ptr<api::Client> client,
                        api::Informers& informers)
        : ServiceController("endpoint-controller", loop, std::move(client), informers),
          endpoints_(informers.of<Endpoints>()) {
        watch_own(endpoints_);
    }

  private:
    base::Task<void> reconcile(std::string key) override {
        const auto service = services_.get_as<Service>(key);
        const auto current = endpoints_.get_as<Endpoints>(key);
        if (service == nullptr) {
            // Those without a Service that never had one (an old leader's lock, say) stay.
            if (current == nullptr || !current->metadata().labels().contains(kManagedByLabel))
                co_return base::Status();
            const auto at = api::split_key(key);
            auto gone = co_await client_->remove<Endpoints>(at.namespace_name, at.name);
            if (!gone && !api::is_not_found(gone.error())) co_return gone.error();
            co_return base::Status();
        }
        if (!is_ours(*service) || api::is_deleting(*service)) co_return base::Status();
        auto next = current == nullptr ? std::make_shared<Endpoints>() : api::copy(*current);
        auto* m = next->mutable_metadata();
        m->set_namespace_(service->metadata().namespace_());
        m->set_name(service->metadata().name());
        *m->mutable_labels() = service->metadata().labels();
        (*m->mutable_labels())[kManagedByLabel] = "endpoint-controller";
        if (is_headless(*service)) (*m->mutable_labels())[kHeadless] = "";
        *next->mutable_subsets() = subsets_of(*service, selected(*service));
        if (current != nullptr && api::equivalent(*next, *current)) co_return base::Status();
        if (current == nullptr) {
            CO_TRY_VOID(co_await client_->create<Endpoints>(std::move(next)));
        } else {
            CO_TRY_VOID(co_await client_->update<Endpoints>(std::move(next)));
        }
        co_return base::Status();
    }

    static constexpr const char* kManagedByLabel = "endpoints.kubernetes.io/managed-by";
    api::Informer& endpoints_;
};

class SliceController final : public ServiceController {
  public:
    SliceController(base::Loop& loop, std::shared_ptr<api::Client> client,
                    api::Informers& informers)
        : ServiceController("endpointslice-controller", loop, std::move(client), informers),
          slices_(informers.of<EndpointSlice>()) {
        slices_.add_index("service", [](const api::Message& slice) {
            const auto service = api::label(slice, kServiceName);
            if (service.empty() || api::label(slice, kManagedBy) != kManager)
                return std::vector<std::string>();
            return std::vector<std::string>{api::key_of(api::meta_of(slice).namespace_(), service)};
        });
        slices_.on_change([this](const api::ObjectPtr& before, const api::ObjectPtr& now) {
            const auto& slice = now != nullptr ? *now : *before;
            const auto service = api::label(slice, kServiceName);
            if (!service.empty() && api::label(slice, kManagedBy) == kManager)
                queue().add(api::key_of(api::meta_of(slice).namespace_(), service));
        });
    }

  private:
    // The slice's content on top of what was written before.
    static std::shared_ptr<EndpointSlice> over(const api::Ptr<EndpointSlice>& current,
                                               const Service& service, EndpointSlice wanted) {
        auto out = current == nullptr ? std::make_shared<EndpointSlice>() : api::copy(*current);
        auto* m = out->mutable_metadata();
        if (current == nullptr) {
            m->set_namespace_(service.metadata().namespace_());
            m->set_generatename(service.metadata().name() + "-");
            *m->add_ownerreferences() = api::controller_ref(service);
        }
        *m->mutable_labels() = service.metadata().labels();
        (*m->mutable_labels())[kServiceName] = service.metadata().name();
        (*m->mutable_labels())[kManagedBy] = kManager;
        if (is_headless(service)) (*m->mutable_labels())[kHeadless] = "";
        out->set_addresstype("IPv4");
        *out->mutable_endpoints() = std::move(*wanted.mutable_endpoints());
        *out->mutable_ports() = std::move(*wanted.mutable_ports());
        return out;
    }

    base::Task<void> reconcile(std::string key) override {
        const auto service = services_.get_as<Service>(key);
        std::vector<api::Ptr<EndpointSlice>> current;
        for (const auto& slice : slices_.by_index("service", key))
            if (!api::is_deleting(*slice)) current.push_back(api::as<EndpointSlice>(slice));
        std::vector<EndpointSlice> wanted;
        if (service != nullptr && is_ours(*service)) {
            if (api::is_deleting(*service)) co_return base::Status();
            wanted = slices_of(*service, selected(*service));
            // One slice always, so that a Service without pods shows as such.
            if (wanted.empty()) wanted.emplace_back().set_addresstype("IPv4");
        }
        for (std::size_t i = 0; i < std::max(current.size(), wanted.size()); ++i) {
            if (i >= wanted.size()) {
                const auto& m = current[i]->metadata();
                auto gone = co_await client_->remove<EndpointSlice>(m.namespace_(), m.name());
                if (!gone && !api::is_not_found(gone.error())) co_return gone.error();
                continue;
            }
            const auto had = i < current.size() ? current[i] : nullptr;
            auto next = over(had, *service, std::move(wanted[i]));
            if (had != nullptr && api::equivalent(*next, *had)) continue;
            if (had == nullptr) {
                CO_TRY_VOID(co_await client_->create<EndpointSlice>(std::move(next)));
                // The cache must have it before the next round, or there would be two.
                co_return co_await wait_for_cache(key, current.size());
            }
            CO_TRY_VOID(co_await client_->update<EndpointSlice>(std::move(next)));
        }
        co_return base::Status();
    }

    base::Task<void> wait_for_cache(std::string key, std::size_t before) {
        for (int i = 0; i < 400 && slices_.by_index("service", key).size() <= before; ++i)
            CO_TRY_VOID(co_await base::sleep_for(base::Millis(5)));
        queue().add(key);
        co_return base::Status();
    }

    api::Informer& slices_;
};

}  // namespace

std::unique_ptr<api::Controller> make_endpoints(base::Loop& loop,
                                                std::shared_ptr<api::Client> client,
                                                api::Informers& informers) {
    return std::make_unique<EndpointsController>(loop, std::move(client), informers);
}

std::unique_ptr<api::Controller> make_endpointslice(base::Loop& loop,
                                                    std::shared_ptr<api::Client> client,
                                                    api::Informers& informers) {
    return std::make_unique<SliceController>(loop, std::move(client), informers);
}

}  // namespace controllers
