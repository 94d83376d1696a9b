#include "base/coro.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/redirect_error.hpp>

#include "base/log.h"

namespace base {

namespace asio = boost::asio;

Task<void> sleep_for(Millis duration) {
    asio::steady_timer timer(co_await asio::this_coro::executor, duration);
    boost::system::error_code ec;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return cancelled("sleep was cancelled");
    co_return Status();
}

struct TaskGroup::Impl {
    explicit Impl(Loop& l) : loop(l), ended(l.context()) { ended.expires_at(SteadyTime::max()); }

    struct Entry {
        std::string name;
        asio::cancellation_signal signal;
    };
    Loop& loop;
    std::list<Entry> tasks;
    bool stopping = false;
    asio::steady_timer ended;  // cancelled, which wakes stop(), when the last task is gone
};

TaskGroup::TaskGroup(Loop& loop) : impl_(std::make_shared<Impl>(loop)) {}

TaskGroup::~TaskGroup() {
    CHECK(impl_->tasks.empty(), "{} tasks are left, the first is {}", impl_->tasks.size(),
          impl_->tasks.front().name);
}

void TaskGroup::spawn(std::string name, Awaitable<void> task) {
    if (impl_->stopping) return;
    auto entry = impl_->tasks.emplace(impl_->tasks.end());
    entry->name = std::move(name);
    auto done = [impl = impl_, entry](const std::exception_ptr& failure) {
        if (failure) {
            try {
                std::rethrow_exception(failure);
            } catch (const std::exception& e) {
                if (!impl->stopping)
                    LOG_ERROR("base", "task {} ended by an exception: {}", entry->name, e.what());
            }
        }
        impl->tasks.erase(entry);
        if (impl->tasks.empty()) impl->ended.cancel();
    };
    asio::co_spawn(impl_->loop.context(), std::move(task),
                   asio::bind_cancellation_slot(entry->signal.slot(), std::move(done)));
}

Awaitable<void> TaskGroup::stop() {
    auto impl = impl_;
    impl->stopping = true;
    // Emitting can end a task at once and take it off the list, so step on before.
    for (auto it = impl->tasks.begin(); it != impl->tasks.end();)
        (it++)->signal.emit(asio::cancellation_type::all);
    while (!impl->tasks.empty()) {
        boost::system::error_code ec;
        co_await impl->ended.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    }
}

bool TaskGroup::stopping() const {
    return impl_->stopping;
}
std::size_t TaskGroup::size() const {
    return impl_->tasks.size();
}

}  // namespace base
