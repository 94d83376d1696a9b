#pragma once
// The inside of Server, shared by its HTTP/1.1 and HTTP/2 halves: connections, the protocol that
// one speaks, and what all exchanges have in common. Private to net/.

#include <boost/asio/ip/tcp.hpp>
#include <list>
#include <unordered_set>

#include "base/log.h"
#include "net/inbox.h"
#include "net/server.h"
#include "net/transport.h"

namespace net {

class ServerConnection;

// What both kinds of exchange do alike: reading, waiting for room, closing.
class ExchangeBase : public Exchange {
  public:
    base::Task<std::string> read_body(std::size_t limit) override;
    base::Task<std::optional<std::string>> read_some() override;
    base::Task<void> drained(std::size_t below) override;
    bool closed() const override { return over_ || finished_; }
    bool started() const override { return started_; }
    void on_close(base::UniqueFunction<void()> f) override;
    void interrupt(base::Error why) override;
    bool draining() const override { return connection_ == nullptr || connection_draining(); }

    // The server's side of the fast path.
    bool collecting() const { return collecting_; }
    void collect() { collecting_ = true; }
    // False when the body is over `limit`.
    bool collect_chunk(std::string_view bytes, std::size_t limit);
    const std::string& collected() const { return collected_; }
    Inbox& inbox() { return inbox_; }

  protected:
    // The reader wants the body: the time for "100 Continue".
    virtual void body_wanted() {}
    // `n` bytes were taken out of the inbox.
    virtual void body_taken(std::size_t n) = 0;
    // Ends the exchange. `complete`: its answer was sent in full.
    void conclude(bool complete, const base::Error& why);
    void wake_writers();

    ServerConnection* connection_ = nullptr;  // null once the exchange is off its connection
    bool started_ = false;
    bool finished_ = false;  // the whole answer is queued
    bool over_ = false;

  private:
    bool connection_draining() const;
    struct Waiter {
        std::size_t below;
        base::UniqueFunction<void(bool)> wake;
    };
    Inbox inbox_;
    std::string collected_;
    std::vector<base::UniqueFunction<void()>> close_functions_;
    std::vector<Waiter> writers_;
    bool collecting_ = false;
    bool broken_ = false;  // ended early
};

// The protocol of one connection. Owned by the connection, which outlives it.
class ServerProtocol {
  public:
    virtual ~ServerProtocol() = default;
    virtual void on_data(std::string_view bytes) = 0;
    virtual void on_eof() = 0;
    virtual void fill(std::string* out) = 0;
    virtual void on_written() {}
    // The connection is gone: every exchange is told.
    virtual void on_end(const base::Error& why) = 0;
    // Shutting down: no new requests, close when the last exchange is done.
    virtual void drain() = 0;
    virtual std::size_t active() const = 0;
    // Now and then. False: give the connection up.
    virtual bool tick(base::SteadyTime now) = 0;
};

struct ServerCore;

class ServerConnection : public TransportOwner,
                         public std::enable_shared_from_this<ServerConnection> {
  public:
    ServerConnection(ServerCore& core, std::shared_ptr<Transport> transport);

    void on_open() override;
    void on_data(std::string_view bytes) override;
    void on_eof() override;
    void fill(std::string* out) override;
    void on_written() override;
    void on_end(const base::Error& why) override;

    void drain();
    void tick(base::SteadyTime now);
    ServerCore& core() const { return core_; }
    Transport& transport() const { return *transport_; }
    const std::shared_ptr<const PeerIdentity>& peer() const { return peer_; }
    bool draining() const { return draining_; }
    std::size_t active() const { return protocol_ ? protocol_->active() : 0; }
    // A request has begun or ended: restarts the idle clock.
    void touch();
    // Runs the handler that the server's table has for a request whose headers are in. True: the
    // body is to be collected, then call dispatch_collected.
    bool dispatch(const std::shared_ptr<ExchangeBase>& exchange);
    void dispatch_collected(const std::shared_ptr<ExchangeBase>& exchange);

    std::list<std::shared_ptr<ServerConnection>>::iterator place;

  private:
    void sniff();

    ServerCore& core_;
    std::shared_ptr<Transport> transport_;
    std::shared_ptr<const PeerIdentity> peer_;
    std::unique_ptr<ServerProtocol> protocol_;
    std::string preface_;  // what came before the protocol was known
    base::SteadyTime since_;
    bool served_ = false;
    bool draining_ = false;
};

std::unique_ptr<ServerProtocol> make_h1_protocol(ServerConnection& connection);
std::unique_ptr<ServerProtocol> make_h2_protocol(ServerConnection& connection);

// What connections need of the server.
struct ServerCore {
    ServerCore(base::Loop& l, ServerOptions o, ServerHandlers h)
        : loop(l), options(std::move(o)), handlers(std::move(h)), tasks(l) {}

    base::Loop& loop;
    ServerOptions options;
    ServerHandlers handlers;
    base::TaskGroup tasks;
    std::list<std::shared_ptr<ServerConnection>> connections;
    std::uint64_t accepted = 0;
    std::uint64_t requests = 0;
    std::uint64_t closed_bytes_in = 0;
    std::uint64_t closed_bytes_out = 0;
    bool draining = false;
    base::UniqueFunction<void()> on_empty;  // the last connection is gone

    // The value of the Date field, made once a second.
    const std::string& date();

  private:
    std::string date_;
    std::int64_t date_second_ = 0;
};

// The answer to a request that is refused before a handler sees it.
void refuse(Exchange& exchange, int status, std::string_view why);

}  // namespace net
