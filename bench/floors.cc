#include "bench/floors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

[[noreturn]] void give_up(const base::Error& error) {
    std::cerr << "etcd_load: " << error.message << '\n';
    std::exit(1);
}

template <class F>
double median_ms(F f) {
    std::vector<double> took;
    for (int i = 0; i < kRounds; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        f(i);
        took.push_back(
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
                .count());
    }
    std::nth_element(took.begin(), took.begin() + kRounds / 2, took.end());
    return took[kRounds / 2];
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

double fdatasync_ms(const std::string& directory) {
    const std::string path = directory + "/floor";
    if (const auto made = base::write_file_atomic(path, std::string(kBytes * kRounds, '\0')); !made)
        give_up(made.error());
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    std::array<char, kBytes> bytes{};
    const double out = median_ms([&](int i) {
        if (::pwrite(fd, bytes.data(), bytes.size(), i * static_cast<off_t>(kBytes)) < 0 ||
            ::fdatasync(fd) != 0)
            give_up(base::errno_error(errno, "write " + path));
    });
    ::close(fd);
    ::unlink(path.c_str());
    return out;
}

}  // namespace

Floors measure_floors(const std::string& directory) {
    return {peer_ms(), fdatasync_ms(directory)};
}

}  // namespace bench
