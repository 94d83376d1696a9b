#include "controllers/service_account.h"

#include "api/proto/core_v1_config.pb.h"
#include "api/status.h"

namespace controllers {
namespace {

using api::core::Namespace;
using api::core::ServiceAccount;

class ServiceAccounts final : public api::Controller {
  public:
    ServiceAccounts(base::Loop& loop, std::shared_ptr<api::Client> client,
                    api::Informers& informers)
        : Controller("serviceaccount-controller", loop, 1),
          client_(std::move(client)),
          namespaces_(informers.of<Namespace>()),
          accounts_(informers.of<ServiceAccount>()) {
        watch_own(namespaces_);
        accounts_.on_change([this](const api::ObjectPtr& before, const api::ObjectPtr& now) {
            if (now == nullptr) queue().add(api::meta_of(*before).namespace_());
        });
    }

  private:
    base::Task<void> reconcile(std::string key) override {
        const auto ns = namespaces_.get_as<Namespace>(key);
        if (ns == nullptr || api::is_deleting(*ns) || ns->status().phase() == "Terminating")
            co_return base::Status();
        if (accounts_.get(api::key_of(key, "default")) != nullptr) co_return base::Status();
        auto account = std::make_shared<ServiceAccount>();
        account->mutable_metadata()->set_namespace_(key);
        account->mutable_metadata()->set_name("default");
        const auto made = co_await client_->create<ServiceAccount>(std::move(account));
        if (!made && !api::is_already_exists(made.error())) co_return made.error();
        co_return base::Status();
    }

    std::shared_ptr<api::Client> client_;
    api::Informer& namespaces_;
    api::Informer& accounts_;
};

}  // namespace

std::unique_ptr<api::Controller> make_service_account(base::Loop& loop,
                                                      std::shared_ptr<api::Client> client,
                                                      api::Informers& informers) {
    return std::make_unique<ServiceAccounts>(loop, std::move(client), informers);
}

}  // namespace controllers
