#include "net/message_inbox.h"

#include <gtest/gtest.h>

#include "net/grpc.h"
#include "test/net/support.h"

namespace net::test {
namespace {

constexpr std::size_t kLimit = std::size_t{4} << 20;

// An inbox and a peer that sends as much as its window lets it, in pieces.
class Link {
  public:
    Link(std::string bytes, std::size_t window, std::size_t piece)
        : bytes_(std::move(bytes)), window_(window), piece_(piece) {
        loop_.start();
        loop_.run_and_wait([this] { send(); });
    }
    base::Result<std::optional<std::string>> take() { return run(loop_, inbox.take()); }
    std::size_t sent() const { return sent_; }

    MessageInbox inbox{kLimit, [this](std::size_t bytes) {
                           window_ += bytes;
                           send();
                       }};

  private:
    void send() {
        while (std::min(window_, bytes_.size() - sent_) > 0) {
            const std::size_t n = std::min({piece_, window_, bytes_.size() - sent_});
            window_ -= n;
            sent_ += n;
            inbox.push(std::string_view(bytes_).substr(sent_ - n, n));
        }
        if (sent_ == bytes_.size()) inbox.finish();
    }

    base::Loop loop_{"inbox"};
    std::string bytes_;
    std::size_t window_;
    std::size_t piece_;
    std::size_t sent_ = 0;
};

TEST(MessageInbox, MessagesArriveHoweverTheyAreCut) {
    for (const std::size_t piece : {1U, 2U, 5U, 6U, 7U, 1000U}) {
        Link link(grpc_frame("one") + grpc_frame("") + grpc_frame("three"), 1000, piece);
        EXPECT_EQ(link.take().value(), "one");
        EXPECT_EQ(link.take().value(), "");
        EXPECT_EQ(link.take().value(), "three");
        EXPECT_EQ(link.take().value(), std::nullopt);
        EXPECT_EQ(link.take().value(), std::nullopt);
    }
}

TEST(MessageInbox, AMessageMayBeLargerThanTheWindow) {
    const std::string large(1000, 'x');
    Link link(grpc_frame("small") + grpc_frame(large) + grpc_frame("end"), 100, 100);
    EXPECT_EQ(link.take().value(), "small");
    EXPECT_EQ(link.take().value(), large);
    EXPECT_EQ(link.take().value(), "end");
    EXPECT_EQ(link.take().value(), std::nullopt);
}

// Many times the window and the room that is kept.
TEST(MessageInbox, ThePeerIsGrantedWhatWasReadAndNoMore) {
    constexpr std::size_t kWindow = std::size_t{3} << 20;
    std::string bytes;
    int messages = 0;
    for (; bytes.size() < 4 * kWindow; ++messages)
        bytes += grpc_frame(std::to_string(messages) + std::string(300, 'x'));
    const std::size_t all = bytes.size();
    Link link(std::move(bytes), kWindow, 16 << 10);
    std::size_t read = 0;
    for (int i = 0; i < messages; ++i) {
        auto message = link.take();
        ASSERT_TRUE(message && *message);
        ASSERT_EQ(**message, std::to_string(i) + std::string(300, 'x'));
        read += kGrpcPrefix + (**message).size();
        ASSERT_LE(link.sent(), read + kWindow);
    }
    EXPECT_EQ(link.sent(), all);
    EXPECT_EQ(link.take().value(), std::nullopt);
}

TEST(MessageInbox, AnEndInsideAMessageIsAnError) {
    Link link(grpc_frame("whole") + grpc_frame("cut off").substr(0, 9), 1000, 1000);
    EXPECT_EQ(link.take().value(), "whole");
    EXPECT_EQ(link.take().error().code, base::Code::kInternal);
}

TEST(MessageInbox, WhatCameBeforeAnErrorIsReadFirst) {
    const std::string whole = grpc_frame("whole");
    Link link(whole + grpc_frame("does not come"), whole.size(), 100);
    link.inbox.fail(base::unavailable("gone"));
    link.inbox.finish();
    EXPECT_EQ(link.take().value(), "whole");
    EXPECT_EQ(link.take().error().code, base::Code::kUnavailable);
}

TEST(MessageInbox, AMessageOverTheLimitIsRefused) {
    std::string frame = grpc_frame("");
    frame[1] = 1;  // 16 MiB
    EXPECT_EQ(Link(frame, 1000, 1000).take().error().code, base::Code::kResourceExhausted);
    frame[0] = 1;
    EXPECT_EQ(Link(frame, 1000, 1000).take().error().code, base::Code::kUnimplemented);
}

}  // namespace
}  // namespace net::test
