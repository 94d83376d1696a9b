// Runs a target without libFuzzer: every seed, every file that is named, and mutations of the
// seeds.
//
//   fuzz_peer [--mutations N] [--seed S] [FILE…]

#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "test/fuzz/target.h"

namespace {

std::string mutated(const std::vector<std::string>& seeds, base::Random& random) {
    std::string out = seeds[random.below(seeds.size())];
    for (std::uint64_t n = random.between(1, 8); n > 0; --n) {
        const std::size_t at = random.below(out.size() + 1);
        switch (random.below(5)) {
            case 0:
                if (at < out.size()) out[at] = static_cast<char>(out[at] ^ (1U << random.below(8)));
                break;
            case 1:
                if (at < out.size()) out[at] = static_cast<char>(random.next());
                break;
            case 2:
                out.insert(at, random.between(1, 8), static_cast<char>(random.next()));
                break;
            case 3:
                out.erase(at, random.between(1, 16));
                break;
            default: {
                const std::string& other = seeds[random.below(seeds.size())];
                const std::size_t from = random.below(other.size() + 1);
                out.replace(at, std::string::npos, other, from, std::string::npos);
            }
        }
    }
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    base::set_log_level(base::LogLevel::kOff);
    google::protobuf::SetLogHandler(nullptr);
    std::uint64_t mutations = 0;
    std::uint64_t seed = 1;
    std::vector<std::string> files;
    CLI::App app("a fuzz target, replayed");
    app.add_option("--mutations", mutations, "of the seeds, to run too");
    app.add_option("--seed", seed, "of the mutations");
    app.add_option("files", files, "inputs to run");
    CLI11_PARSE(app, argc, argv);

    const std::vector<std::string> seeds = fuzz::seeds();
    for (const std::string& file : files) {
        const auto bytes = base::read_file(file);
        if (!bytes) {
            std::cerr << bytes.error().message << '\n';
            return 1;
        }
        fuzz::run(*bytes);
    }
    for (const std::string& s : seeds)
        fuzz::run(s);
    base::Random random(seed);
    for (std::uint64_t i = 0; i < mutations; ++i)
        fuzz::run(mutated(seeds, random));
    std::cout << seeds.size() << " seeds, " << files.size() << " files, " << mutations
              << " mutations\n";
}
