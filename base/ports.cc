#include "base/ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/random.h"

namespace base {

namespace {

constexpr std::uint64_t kLowest = 10'000;
constexpr std::uint64_t kHighest = 32'000;
constexpr int kTries = 10'000;

bool can_be_bound(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool ok = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return ok;
}

}  // namespace

Result<std::vector<std::uint16_t>> free_loopback_ports(std::size_t n) {
    Random random(entropy64());
    std::vector<std::uint16_t> out;
    for (int i = 0; i < kTries && out.size() < n; ++i) {
        const auto port = static_cast<std::uint16_t>(random.between(kLowest, kHighest));
        if (std::ranges::find(out, port) == out.end() && can_be_bound(port)) out.push_back(port);
    }
    if (out.size() < n) return unavailable("too few free ports between 10000 and 32000");
    return out;
}

}  // namespace base
