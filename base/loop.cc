#include "base/loop.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cerrno>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "base/log.h"

namespace base {

namespace asio = boost::asio;

namespace {
int new_eventfd() {
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(fd >= 0, "eventfd: {}", std::strerror(errno));
    return fd;
}
}  // namespace

// What is posted waits in a queue of its own, of which an eventfd tells the loop. asio::post from
// another thread would wake the loop while it holds the lock that the loop then has to wait for:
// two sleeps for each value that is handed over.
struct Loop::Impl {
    explicit Impl(std::string n)
        : name(std::move(n)), work(context.get_executor()), posted(context, new_eventfd()) {
        listen();
    }
    // What is dropped, here or with the context, may post more.
    ~Impl() {
        {
            const std::lock_guard lock(mutex);
            ended = true;
        }
        take();
    }

    bool on_loop() { return context.get_executor().running_in_this_thread(); }

    void post(UniqueFunction<void()> f) {
        {
            const std::lock_guard lock(mutex);
            if (ended) return;
            queue.push_back(std::move(f));
            if (std::exchange(told, true)) return;
        }
        if (on_loop()) return asio::post(context, [this] { drain(); });
        const std::uint64_t one = 1;
        CHECK(::write(posted.native_handle(), &one, sizeof one) == sizeof one);
    }

    void listen() {
        posted.async_read_some(asio::buffer(&count, sizeof count),
                               [this](const boost::system::error_code& ec, std::size_t) {
                                   if (ec) return;
                                   drain();
                                   listen();
                               });
    }

    std::vector<UniqueFunction<void()>> take() {
        const std::lock_guard lock(mutex);
        told = false;
        return std::exchange(queue, {});
    }

    void drain() {
        for (auto& f : take()) {
            if (context.stopped()) return;
            auto now = std::move(f);
            now();
        }
    }

    std::string name;
    std::mutex mutex;
    std::vector<UniqueFunction<void()>> queue;
    bool told = false;   // drain() will run
    bool ended = false;  // nothing is queued any more
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work;
    asio::posix::stream_descriptor posted;
    std::uint64_t count = 0;  // of `posted`, and of no interest
    std::thread thread;
};

Loop::Loop(std::string name) : impl_(std::make_unique<Impl>(std::move(name))) {}

Loop::~Loop() {
    stop();
    join();
}

asio::io_context& Loop::context() {
    return impl_->context;
}

void Loop::start() {
    CHECK(!impl_->thread.joinable());
    impl_->thread = std::thread([this] {
        pthread_setname_np(pthread_self(), impl_->name.substr(0, 15).c_str());
        run();
    });
}

void Loop::run() {
    try {
        impl_->context.run();
    } catch (const std::exception& e) {
        CHECK(false, "an exception left a handler of loop {}: {}", impl_->name, e.what());
    }
}

void Loop::stop() {
    impl_->context.stop();
}

void Loop::join() {
    if (impl_->thread.joinable()) impl_->thread.join();
}

void Loop::post(UniqueFunction<void()> f) {
    impl_->post(std::move(f));
}

void Loop::run_and_wait(UniqueFunction<void()> f) {
    CHECK(!on_loop());
    std::promise<void> done;
    auto finished = done.get_future();
    post([&f, &done] {
        f();
        done.set_value();
    });
    finished.wait();
}

bool Loop::on_loop() const {
    return impl_->on_loop();
}

struct Timer::Impl : std::enable_shared_from_this<Timer::Impl> {
    explicit Impl(Loop& loop) : timer(loop.context()) {}

    void wait() {
        timer.async_wait(
            [self = shared_from_this(), g = generation](const boost::system::error_code& ec) {
                if (ec || g != self->generation) return;
                self->fire();
            });
    }

    void fire() {
        if (period == Millis::zero()) {
            auto f = std::move(callback);
            f();
            return;
        }
        const auto now = std::chrono::steady_clock::now();
        auto next = timer.expiry() + period;
        if (next < now) next = now + period;
        timer.expires_at(next);
        wait();
        // The callback may replace or cancel itself: it runs from a local and goes back only if it
        // was not touched.
        auto f = std::move(callback);
        const auto g = generation;
        f();
        if (g == generation) callback = std::move(f);
    }

    void set(Millis delay, Millis repeat, UniqueFunction<void()> f) {
        ++generation;
        period = repeat;
        callback = std::move(f);
        timer.expires_after(delay);
        wait();
    }

    void cancel() {
        ++generation;
        callback = nullptr;
        timer.cancel();
    }

    asio::steady_timer timer;
    UniqueFunction<void()> callback;
    Millis period{0};
    std::uint64_t generation = 0;
};

Timer::Timer(Loop& loop) : impl_(std::make_shared<Impl>(loop)) {}
Timer::~Timer() {
    impl_->cancel();
}
void Timer::after(Millis delay, UniqueFunction<void()> f) {
    impl_->set(delay, Millis::zero(), std::move(f));
}
void Timer::every(Millis period, UniqueFunction<void()> f) {
    CHECK(period > Millis::zero());
    impl_->set(period, period, std::move(f));
}
void Timer::cancel() {
    impl_->cancel();
}

struct WorkerPool::Impl {
    explicit Impl(unsigned threads) : pool(threads) {}
    asio::thread_pool pool;
};

WorkerPool::WorkerPool(const std::string& name, unsigned threads)
    : impl_(std::make_unique<Impl>(threads)) {
    for (unsigned i = 0; i < threads; ++i)
        submit([name] { pthread_setname_np(pthread_self(), name.substr(0, 15).c_str()); });
}
WorkerPool::~WorkerPool() {
    impl_->pool.join();
}
void WorkerPool::submit(UniqueFunction<void()> work) {
    asio::post(impl_->pool, std::move(work));
}

}  // namespace base
