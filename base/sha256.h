#pragma once
// SHA-256 (FIPS 180-4), by OpenSSL. Any thread.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace base {

inline constexpr std::size_t kSha256Bytes = 32;

// Of bytes that come in pieces.
class Sha256 {
  public:
    Sha256();
    ~Sha256();
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;
    void add(std::string_view bytes);
    // kSha256Bytes bytes. Once, at the end.
    std::string finish();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

std::string sha256(std::string_view bytes);

}  // namespace base
