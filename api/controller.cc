#include "api/controller.h"

#include "api/status.h"
#include "base/log.h"

namespace api {

Controller::Controller(std::string name, base::Loop& loop, int workers)
    : loop_(loop), tasks_(loop), name_(std::move(name)), workers_(workers), queue_(loop) {}

Controller::~Controller() = default;

void Controller::start() {
    for (int i = 0; i < workers_; ++i)
        tasks_.spawn(name_, work());
}

base::Awaitable<void> Controller::stop() {
    queue_.shut_down();
    co_await tasks_.stop();
}

base::Awaitable<void> Controller::work() {
    while (true) {
        auto key = co_await queue_.get();
        if (!key) co_return;
        const auto result = co_await reconcile(*key);
        if (result) {
            queue_.forget(*key);
        } else {
            const bool ordinary = is_conflict(result.error()) || is_not_found(result.error()) ||
                                  result.error().code == base::Code::kCancelled;
            base::log(ordinary ? base::LogLevel::kDebug : base::LogLevel::kWarn, name_,
                      "{} failed, will be tried again: {}", *key, result.error().to_string());
            queue_.add_rate_limited(*key);
        }
        queue_.done(*key);
    }
}

void Controller::watch_own(Informer& informer) {
    informer.on_change([this](const ObjectPtr& before, const ObjectPtr& now) {
        queue_.add(key_of(now != nullptr ? *now : *before));
    });
}

void Controller::watch_owned(Informer& informer, std::string_view owner_kind) {
    auto enqueue = [this, kind = std::string(owner_kind)](const ObjectPtr& object) {
        if (object == nullptr) return;
        const auto* owner = controller_of(*object);
        if (owner != nullptr && owner->kind() == kind)
            queue_.add(key_of(meta_of(*object).namespace_(), owner->name()));
    };
    informer.on_change([enqueue](const ObjectPtr& before, const ObjectPtr& now) {
        enqueue(before);
        enqueue(now);
    });
}

}  // namespace api
