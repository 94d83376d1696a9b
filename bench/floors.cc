#include "bench/floors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <iostream>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace bench {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::size_t kBytes = 300;
constexpr int kRounds = 2000;
using Clock = std::chrono::steady_clock;

[[noreturn]] void give_up(const base::Error& error) {
    std::cerr << "etcd_load: " << error.message << '\n';
    std::exit(1);
}

double millis_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double median(std::vector<double> all) {
    const auto middle = all.begin() + static_cast<long>(all.size() / 2);
    std::nth_element(all.begin(), middle, all.end());
    return *middle;
}

template <class F>
double median_ms(F f) {
    std::vector<double> took;
    for (int i = 0; i < kRounds; ++i) {
        const auto begin = Clock::now();
        f(i);
        took.push_back(millis_since(begin));
    }
    return median(std::move(took));
}

double peer_ms() {
    asio::io_context io;
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    tcp::socket near(io);
    near.connect(acceptor.local_endpoint());
    tcp::socket far = acceptor.accept();
    near.set_option(tcp::no_delay(true));
    far.set_option(tcp::no_delay(true));
    std::thread echo([&far] {
        std::array<char, kBytes> bytes{};
        boost::system::error_code end;
        while (asio::read(far, asio::buffer(bytes), end) > 0)
            asio::write(far, asio::buffer(bytes));
    });
    std::array<char, kBytes> bytes{};
    const double out = median_ms([&](int) {
        asio::write(near, asio::buffer(bytes));
        asio::read(near, asio::buffer(bytes));
    });
    near.close();
    echo.join();
    return out;
}

// A file that has its size already.
class Log {
  public:
    explicit Log(std::string path) : path_(std::move(path)) {
        const std::string zeros(kBytes * kRounds, '\0');
        if (const auto made = base::write_file_atomic(path_, zeros); !made) give_up(made.error());
        fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    }
    ~Log() {
        ::close(fd_);
        ::unlink(path_.c_str());
    }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    void append(int record) const {
        const std::array<char, kBytes> bytes{};
        if (::pwrite(fd_, bytes.data(), kBytes, record * static_cast<off_t>(kBytes)) < 0 ||
            ::fdatasync(fd_) != 0)
            give_up(base::errno_error(errno, "write " + path_));
    }

  private:
    std::string path_;
    int fd_ = -1;
};

double fdatasync_ms(const std::string& directory) {
    const Log log(directory + "/floor");
    return median_ms([&](int i) { log.append(i); });
}

double majority_ms(const std::string& directory) {
    constexpr int kMembers = 3;
    std::vector<double> took;
    std::atomic<Clock::rep> begin = 0;
    std::atomic<int> done = 0;
    double second = 0;
    std::barrier round(kMembers, [&]() noexcept {
        if (done == kMembers) took.push_back(second);
        begin = 0;
        done = 0;
    });
    const auto member = [&](int number) {
        const Log log(directory + "/floor" + std::to_string(number));
        for (int i = 0; i < kRounds; ++i) {
            round.arrive_and_wait();
            Clock::rep nobody = 0;
            begin.compare_exchange_strong(nobody, Clock::now().time_since_epoch().count());
            log.append(i);
            if (++done == 2) second = millis_since(Clock::time_point(Clock::duration(begin)));
        }
        round.arrive_and_wait();
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < kMembers; ++i)
        threads.emplace_back(member, i);
    for (auto& thread : threads)
        thread.join();
    return median(std::move(took));
}

}  // namespace

Floors measure_floors(const std::string& directory) {
    return {peer_ms(), fdatasync_ms(directory), majority_ms(directory)};
}

}  // namespace bench
