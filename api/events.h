#pragma once
// EventRecorder: tells users through core/v1 Events what a component did to an object. Calls return
// at once; a task writes in the background. What repeats counts up in one Event. Bounded: when the
// queue is full, new events are dropped. Used on its loop.

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "api/client.h"
#include "api/proto/core_v1_event.pb.h"

namespace api {

struct EventRecorderOptions {
    std::string component;  // "replicaset-controller"
    std::string host;
    std::size_t max_queue = 1000;
    // Distinct events that are remembered so that their repeats can be counted.
    std::size_t max_remembered = 4096;
};

class EventRecorder {
  public:
    EventRecorder(base::Loop& loop, std::shared_ptr<Client> client, EventRecorderOptions options);
    ~EventRecorder();

    void start();
    // Writes no more; what waits is dropped.
    base::Awaitable<void> stop();

    void normal(const Message& about, std::string_view reason, std::string message);
    void warning(const Message& about, std::string_view reason, std::string message);
    std::size_t dropped() const { return dropped_; }

  private:
    struct Remembered {
        Ptr<core::Event> event;
        std::list<std::string>::iterator used;
    };
    void record(const Message& about, std::string_view type, std::string_view reason,
                std::string message);
    base::Awaitable<void> run();
    base::Task<void> write(std::shared_ptr<core::Event> event);
    void remember(const std::string& key, Ptr<core::Event> event);

    base::Loop& loop_;
    std::shared_ptr<Client> client_;
    EventRecorderOptions options_;
    base::TaskGroup tasks_;
    std::deque<std::shared_ptr<core::Event>> queue_;
    std::map<std::string, Remembered> remembered_;
    std::list<std::string> by_use_;  // the least recently used first
    base::UniqueFunction<void(bool)> waiter_;
    bool stopped_ = false;
    std::size_t dropped_ = 0;
};

}  // namespace api
