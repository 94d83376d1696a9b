#pragma once
// What a fuzz target is: a function that takes any bytes whatever and returns, and inputs to begin
// from. Each target is one file, linked either with libFuzzer (tools/dev fuzz) or with
// replay_main.cc (the unit tests: all seeds and some mutations of them).

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace fuzz {

// Returns normally for every input; a broken promise of the code under test is a CHECK.
void run(std::string_view input);

// Inputs that reach deep: what the code under test writes itself.
std::vector<std::string> seeds();

// Takes an input apart. What is asked of an empty input is zeros.
class Reader {
  public:
    explicit Reader(std::string_view input) : rest_(input) {}
    bool empty() const { return rest_.empty(); }
    std::uint8_t byte() { return rest_.empty() ? 0 : static_cast<std::uint8_t>(*take(1).data()); }
    std::uint64_t number() {
        std::uint64_t out = 0;
        for (const char c : take(8))
            out = out << 8U | static_cast<std::uint8_t>(c);
        return out;
    }
    // At most `n` bytes.
    std::string_view take(std::size_t n) {
        const std::string_view out = rest_.substr(0, n);
        rest_.remove_prefix(out.size());
        return out;
    }
    // A piece with its length (two bytes) before it.
    std::string_view piece() {
        const std::size_t high = byte();
        return take(high << 8U | byte());
    }
    std::string_view rest() { return take(rest_.size()); }

  private:
    std::string_view rest_;
};

// A place of its own for a file or a directory, which goes with it: in memory where there is such a
// place, for they are many.
class Scratch {
  public:
    explicit Scratch(const std::string& name) {
        const std::filesystem::path memory = "/dev/shm";
        const bool there = std::filesystem::is_directory(memory);
        path_ = (there ? memory : std::filesystem::temp_directory_path()) /
                ("fuzz-" + name + "-" + base::random_uuid());
    }
    ~Scratch() { std::filesystem::remove_all(path_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// The other way: what Reader takes apart.
inline std::string piece(std::string_view bytes) {
    std::string out;
    out.push_back(static_cast<char>(bytes.size() >> 8U));
    out.push_back(static_cast<char>(bytes.size()));
    return out.append(bytes);
}

}  // namespace fuzz
