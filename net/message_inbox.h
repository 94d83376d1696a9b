#pragma once
// gRPC messages on their way from a connection's bytes to the coroutine that reads them. What was
// read is granted to the peer again, and what a message that has begun is short of; so no more lies
// here than the stream's window and one message. One reader. Loop's thread only.

#include <optional>
#include <string>
#include <string_view>

#include "base/coro.h"

namespace net {

class MessageInbox {
  public:
    using Grant = base::UniqueFunction<void(std::size_t bytes)>;

    // Messages of at most `limit` bytes. `grant`: the peer may send as much again; called by take()
    // only.
    MessageInbox(std::size_t limit, Grant grant) : limit_(limit), grant_(std::move(grant)) {}

    void push(std::string_view bytes);
    // What was pushed before stays readable. The first of these two counts.
    void finish();
    void fail(base::Error error);

    // The next message; nullopt at the end; the error, also grpc_take_frame's and Internal where
    // the end is inside a message. The object must live until then.
    base::Task<std::optional<std::string>> take();

  private:
    std::string_view unread() const { return std::string_view(bytes_).substr(at_); }
    void use(std::size_t bytes);
    void grant_all();
    void wake();

    std::size_t limit_;
    Grant grant_;
    std::string bytes_;
    std::size_t at_ = 0;       // what is before it was read
    std::size_t owed_ = 0;     // was read, and is not granted yet
    std::size_t granted_ = 0;  // of what is unread
    std::optional<base::Error> error_;
    bool ended_ = false;
    base::UniqueFunction<void(bool)> waiter_;
};

}  // namespace net
