#pragma once
// Elected: what exists only while this process leads. A term is made when the lease is won, stopped
// and destroyed when it is lost or given back; losing it ends the term, never the process. Loop
// only.

#include <functional>
#include <memory>
#include <string>

#include "api/leader_election.h"

namespace api {

// `Term` has start() and `Awaitable<void> stop()`.
template <class Term>
class Elected {
  public:
    // `Options` has identity, lease, renew_deadline and retry.
    template <class Options>
    Elected(base::Loop& loop, std::shared_ptr<Client> client, std::string lease,
            const Options& options, std::function<std::unique_ptr<Term>()> make)
        : make_(std::move(make)),
          elector_(
              loop, std::move(client), election(std::move(lease), options), [this] { begin(); },
              [this] { return end(this); }) {}

    void start() { elector_.start(); }
    // Ends the term and gives the lease back. Await it before destruction.
    base::Awaitable<void> stop() { return elector_.stop(); }
    bool leading() const { return elector_.leading(); }
    std::string holder() const { return elector_.holder(); }

  private:
    template <class Options>
    static LeaderElectionOptions election(std::string lease, const Options& o) {
        LeaderElectionOptions out;
        out.name = std::move(lease);
        out.identity = o.identity;
        out.lease = o.lease;
        out.renew_deadline = o.renew_deadline;
        out.retry = o.retry;
        return out;
    }
    void begin() {
        term_ = make_();
        term_->start();
    }
    static base::Awaitable<void> end(Elected* self) {
        if (self->term_ == nullptr) co_return;
        co_await self->term_->stop();
        self->term_.reset();
    }

    std::function<std::unique_ptr<Term>()> make_;
    std::unique_ptr<Term> term_;
    LeaderElector elector_;
};

}  // namespace api
