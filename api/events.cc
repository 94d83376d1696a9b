#include "api/events.h"

#include <fmt/format.h>

#include "api/status.h"
#include "api/util.h"
#include "base/log.h"

namespace api {
namespace {

// What makes two events the same one.
std::string identity(const core::Event& event) {
    const auto& object = event.involvedobject();
    return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", object.uid(), object.kind(), object.name(),
                       event.type(), event.reason(), event.message());
}

}  // namespace

EventRecorder::EventRecorder(base::Loop& loop, std::shared_ptr<Client> client,
                             EventRecorderOptions options)
    : loop_(loop), client_(std::move(client)), options_(std::move(options)), tasks_(loop) {}

EventRecorder::~EventRecorder() = default;

void EventRecorder::start() {
    tasks_.spawn("events of " + options_.component, run());
}

base::Awaitable<void> EventRecorder::stop() {
    stopped_ = true;
    queue_.clear();
    if (waiter_) std::exchange(waiter_, nullptr)(false);
    co_await tasks_.stop();
}

void EventRecorder::normal(const Message& about, std::string_view reason, std::string message) {
    record(about, "Normal", reason, std::move(message));
}

void EventRecorder::warning(const Message& about, std::string_view reason, std::string message) {
    record(about, "Warning", reason, std::move(message));
}

void EventRecorder::record(const Message& about, std::string_view type, std::string_view reason,
                           std::string message) {
    if (stopped_) return;
    if (queue_.size() >= options_.max_queue) {
        ++dropped_;
        return;
    }
    const auto& m = meta_of(about);
    const auto& info = resource_of(about.GetDescriptor());
    const auto now = wall_now();
    auto event = std::make_shared<core::Event>();
    const std::string ns = m.namespace_().empty() ? "default" : m.namespace_();
    event->mutable_metadata()->set_namespace_(ns);
    event->mutable_metadata()->set_name(fmt::format(
        "{}.{:x}", m.name(),
        std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count()));
    auto* object = event->mutable_involvedobject();
    object->set_kind(std::string(info.kind));
    object->set_apiversion(info.api_version());
    object->set_namespace_(m.namespace_());
    object->set_name(m.name());
    object->set_uid(m.uid());
    object->set_resourceversion(m.resourceversion());
    event->set_type(std::string(type));
    event->set_reason(std::string(reason));
    event->set_message(std::move(message));
    event->mutable_source()->set_component(options_.component);
    if (!options_.host.empty()) event->mutable_source()->set_host(options_.host);
    event->set_reportingcomponent(options_.component);
    event->set_reportinginstance(options_.host);
    *event->mutable_firsttimestamp() = to_time(now);
    *event->mutable_lasttimestamp() = to_time(now);
    event->set_count(1);
    queue_.push_back(std::move(event));
    if (waiter_) std::exchange(waiter_, nullptr)(true);
}

base::Awaitable<void> EventRecorder::run() {
    while (!stopped_) {
        if (queue_.empty()) {
            auto wait = [this](base::UniqueFunction<void(bool)> resolve) {
                waiter_ = std::move(resolve);
            };
            co_await base::suspend<bool>(wait);
            continue;
        }
        auto event = std::move(queue_.front());
        queue_.pop_front();
        const auto written = co_await write(std::move(event));
        if (!written) LOG_DEBUG("events", "an event was lost: {}", written.error().to_string());
    }
}

base::Task<void> EventRecorder::write(std::shared_ptr<core::Event> event) {
    const std::string key = identity(*event);
    const auto known = remembered_.find(key);
    if (known != remembered_.end()) {
        auto next = copy(*known->second.event);
        next->set_count(next->count() + 1);
        *next->mutable_lasttimestamp() = event->lasttimestamp();
        next->mutable_metadata()->clear_resourceversion();
        auto counted = co_await client_->update<core::Event>(std::move(next));
        if (counted) {
            remember(key, *counted);
            co_return base::Status();
        }
        // Events expire; this one then begins again.
        if (!is_not_found(counted.error())) co_return counted.error();
    }
    CO_TRY(auto made, co_await client_->create<core::Event>(std::move(event)));
    remember(key, std::move(made));
    co_return base::Status();
}

void EventRecorder::remember(const std::string& key, Ptr<core::Event> event) {
    auto [it, fresh] = remembered_.try_emplace(key);
    if (!fresh) by_use_.erase(it->second.used);
    it->second.event = std::move(event);
    it->second.used = by_use_.insert(by_use_.end(), key);
    if (remembered_.size() > options_.max_remembered) {
        remembered_.erase(by_use_.front());
        by_use_.pop_front();
    }
}

}  // namespace api
