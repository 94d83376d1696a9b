#include "api/leader_election.h"

#include "api/status.h"
#include "api/util.h"
#include "base/log.h"
#include "base/random.h"

namespace api {
namespace {

std::int32_t whole_seconds(base::Millis duration) {
    return static_cast<std::int32_t>(std::chrono::ceil<std::chrono::seconds>(duration).count());
}

}  // namespace

LeaderElector::LeaderElector(base::Loop& loop, std::shared_ptr<Client> client,
                             LeaderElectionOptions options, std::function<void()> started,
                             std::function<base::Awaitable<void>()> stopped)
    : loop_(loop),
      client_(std::move(client)),
      options_(std::move(options)),
      started_(std::move(started)),
      stopped_(std::move(stopped)),
      tasks_(loop),
      watchdog_(loop) {
    CHECK(options_.renew_deadline < options_.lease && options_.retry < options_.renew_deadline);
}

LeaderElector::~LeaderElector() = default;

void LeaderElector::start() {
    tasks_.spawn("leader election of " + options_.name, run());
}

base::Awaitable<void> LeaderElector::stop() {
    const bool held = leading_;
    watchdog_.cancel();
    leading_ = false;
    // A hand-over that has begun is left to end by itself.
    while (handing_over_)
        (void)co_await base::sleep_for(base::Millis(2));
    co_await tasks_.stop();
    if (!held) co_return;
    co_await stopped_();
    const auto released = co_await release();
    if (!released)
        LOG_INFO("election", "the lease {} could not be given back: {}", options_.name,
                 released.error().to_string());
}

std::string LeaderElector::holder() const {
    return observed_ == nullptr ? "" : observed_->spec().holderidentity();
}

base::Awaitable<void> LeaderElector::run() {
    while (!tasks_.stopping()) {
        while (handing_over_)
            (void)co_await base::sleep_for(base::Millis(5));
        const auto won = co_await try_acquire_or_renew();
        if (tasks_.stopping()) co_return;
        if (won && *won) {
            if (!leading_ && !handing_over_) became_leader();
            if (leading_)
                watchdog_.after(options_.renew_deadline, [this] { lose("not renewed in time"); });
        } else if (leading_ && held_by_other()) {
            lose("another took it");
        }
        if (!won) LOG_DEBUG("election", "{}: {}", options_.name, won.error().to_string());
        (void)co_await base::sleep_for(retry_delay());
    }
}

// Those who wait spread out, the leader is punctual.
base::Millis LeaderElector::retry_delay() {
    if (leading_) return options_.retry;
    base::Random random(base::entropy64());
    const auto ms = static_cast<std::uint64_t>(options_.retry.count());
    return base::Millis(static_cast<std::int64_t>(ms + random.below(ms / 5 + 1)));
}

void LeaderElector::became_leader() {
    leading_ = true;
    LOG_INFO("election", "{} leads {}", options_.identity, options_.name);
    started_();
}

void LeaderElector::lose(std::string_view why) {
    if (!leading_) return;
    leading_ = false;
    handing_over_ = true;
    watchdog_.cancel();
    LOG_WARN("election", "{} leads {} no longer: {}", options_.identity, options_.name, why);
    tasks_.spawn("hand-over of " + options_.name, hand_over());
}

base::Awaitable<void> LeaderElector::hand_over() {
    co_await stopped_();
    handing_over_ = false;
}

void LeaderElector::observe(Ptr<coordination::Lease> lease) {
    if (observed_ == nullptr ||
        observed_->metadata().resourceversion() != lease->metadata().resourceversion())
        observed_at_ = std::chrono::steady_clock::now();
    observed_ = std::move(lease);
}

bool LeaderElector::held_by_other() const {
    if (observed_ == nullptr) return false;
    const auto& spec = observed_->spec();
    if (spec.holderidentity().empty() || spec.holderidentity() == options_.identity) return false;
    const base::Millis duration = spec.leasedurationseconds() > 0
                                      ? base::Millis(spec.leasedurationseconds() * 1000)
                                      : options_.lease;
    return observed_at_ + duration > std::chrono::steady_clock::now();
}

std::shared_ptr<coordination::Lease> LeaderElector::claim() const {
    auto lease = observed_ == nullptr ? std::make_shared<coordination::Lease>() : copy(*observed_);
    lease->mutable_metadata()->set_namespace_(options_.namespace_name);
    lease->mutable_metadata()->set_name(options_.name);
    auto* spec = lease->mutable_spec();
    const auto now = to_micro_time(wall_now());
    if (spec->holderidentity() != options_.identity) {
        if (observed_ != nullptr) spec->set_leasetransitions(spec->leasetransitions() + 1);
        *spec->mutable_acquiretime() = now;
    }
    spec->set_holderidentity(options_.identity);
    spec->set_leasedurationseconds(whole_seconds(options_.lease));
    *spec->mutable_renewtime() = now;
    if (!spec->has_leasetransitions()) spec->set_leasetransitions(0);
    return lease;
}

base::Task<bool> LeaderElector::try_acquire_or_renew() {
    // A holder renews what it wrote last, without reading.
    if (leading_ && observed_ != nullptr && holder() == options_.identity) {
        auto renewed = co_await client_->update<coordination::Lease>(claim());
        if (renewed) {
            observe(*renewed);
            co_return true;
        }
        if (!is_conflict(renewed.error()) && !is_not_found(renewed.error()))
            co_return renewed.error();
    }
    auto found = co_await client_->get<coordination::Lease>(options_.namespace_name, options_.name);
    if (!found) {
        if (!is_not_found(found.error())) co_return found.error();
        observed_ = nullptr;
        CO_TRY(auto made, co_await client_->create<coordination::Lease>(claim()));
        observe(std::move(made));
        co_return true;
    }
    observe(*found);
    if (held_by_other()) co_return false;
    CO_TRY(auto taken, co_await client_->update<coordination::Lease>(claim()));
    observe(std::move(taken));
    co_return true;
}

base::Task<void> LeaderElector::release() {
    if (observed_ == nullptr || holder() != options_.identity) co_return base::Status();
    auto lease = claim();
    lease->mutable_spec()->set_holderidentity("");
    lease->mutable_spec()->set_leasedurationseconds(1);
    CO_TRY(auto released, co_await client_->update<coordination::Lease>(std::move(lease)));
    observe(std::move(released));
    co_return base::Status();
}

}  // namespace api
