#include "bench/floors.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t kBytes = 300;
constexpr int kRounds = 2000;

template <class T>
T must(T result, const char* what) {
    if (result >= 0) return result;
    std::perror(what);
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

void send_all(int fd, const std::array<char, kBytes>& bytes) {
    must(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), "send");
}

// False at the end.
bool receive_all(int fd, std::array<char, kBytes>& bytes) {
    return must(::recv(fd, bytes.data(), bytes.size(), MSG_WAITALL), "recv") > 0;
}

double peer_ms() {
    const int listener = must(::socket(AF_INET, SOCK_STREAM, 0), "socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    must(::bind(listener, generic, size), "bind");
    must(::listen(listener, 1), "listen");
    must(::getsockname(listener, generic, &size), "getsockname");
    const int near = must(::socket(AF_INET, SOCK_STREAM, 0), "socket");
    must(::connect(near, generic, size), "connect");
    const int far = must(::accept(listener, nullptr, nullptr), "accept");
    const int on = 1;
    for (const int fd : {near, far})
        must(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    std::thread echo([far] {
        std::array<char, kBytes> bytes{};
        while (receive_all(far, bytes))
            send_all(far, bytes);
    });
    std::array<char, kBytes> bytes{};
    const double out = median_ms([&](int) {
        send_all(near, bytes);
        receive_all(near, bytes);
    });
    ::close(near);
    echo.join();
    ::close(far);
    ::close(listener);
    return out;
}

double fdatasync_ms(const std::string& directory) {
    const std::string path = directory + "/floor";
    const int fd = must(::open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC, 0600), path.c_str());
    const std::vector<char> zeros(kBytes * kRounds);
    must(::write(fd, zeros.data(), zeros.size()), path.c_str());
    must(::fsync(fd), "fsync");
    std::array<char, kBytes> bytes{};
    const double out = median_ms([&](int i) {
        must(::pwrite(fd, bytes.data(), bytes.size(), i * static_cast<off_t>(kBytes)), "pwrite");
        must(::fdatasync(fd), "fdatasync");
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
