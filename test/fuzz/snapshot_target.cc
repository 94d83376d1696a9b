// A snapshot as a broken sender or file might give it: the state is replaced by a whole, intact one
// or not at all.

#include <filesystem>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "kvstore/machine.h"
#include "test/fuzz/target.h"

namespace fuzz {
namespace {

using namespace kvstore;

const std::string& directory() {
    static const Scratch directory("snapshot");
    return directory.path();
}

std::unique_ptr<Machine> machine() {
    std::filesystem::remove_all(directory());
    Machine::Options options;
    options.directory = directory();
    options.database.write_buffer_bytes = 64 << 10;
    options.database.block_cache_bytes = 64 << 10;
    options.now_ms = [] { return std::int64_t{0}; };
    auto out = Machine::open(std::move(options));
    CHECK(out.has_value());
    return std::move(*out);
}

void put(Machine& m, std::uint64_t index, const std::string& key, std::int64_t lease) {
    Command grant;
    grant.mutable_lease_grant()->set_id(7);
    grant.mutable_lease_grant()->set_ttl(10);
    (void)m.apply({raft::Index(index), raft::Term(1), false}, grant.SerializeAsString());
    Command command;
    command.mutable_put()->set_key(key);
    command.mutable_put()->set_value("value of " + key);
    command.mutable_put()->set_lease(lease);
    (void)m.apply({raft::Index(index), raft::Term(1), false}, command.SerializeAsString());
    m.end_of_batch({raft::Index(index), raft::Term(1)});
}

const std::string& honest() {
    static const std::string bytes = [] {
        const auto m = machine();
        for (std::uint64_t i = 1; i < 6; ++i)
            put(*m, i, "key" + std::to_string(i % 3), i % 2 == 0 ? 7 : 0);
        const auto reader = m->open_snapshot();
        std::string out;
        for (;;) {
            const auto chunk = (*reader)->next(1000);
            CHECK(chunk.has_value());
            if (chunk->empty()) return out;
            out += *chunk;
        }
    }();
    return bytes;
}

}  // namespace

// The first byte: whether the checksum at the end is made right, so that the content is reached.
void run(std::string_view input) {
    Reader in(input);
    const bool mend = in.byte() % 2 == 1;
    std::string stream(in.rest());
    constexpr std::size_t kCrc = sizeof(std::uint32_t);
    if (mend && stream.size() > kCrc) {
        stream.resize(stream.size() - kCrc);
        base::append_le(&stream, base::crc32c(stream));
    }
    const auto m = machine();
    put(*m, 1, "before", 0);
    const auto writer = m->begin_install({raft::Index(9), raft::Term(2)});
    CHECK(writer.has_value());
    base::Status status;
    for (std::size_t at = 0; status && at < stream.size(); at += 100)
        status = (*writer)->write(std::string_view(stream).substr(at, 100));
    if (status) status = (*writer)->seal();
    if (status) status = (*writer)->finish();
    if (!status) {
        if (m->applied().index == raft::Index(1)) CHECK(m->store().revision() == 2);
        return;
    }
    CHECK(m->applied().index == raft::Index(9));
    put(*m, 10, "after", 0);
}

std::vector<std::string> seeds() {
    const std::string& whole = honest();
    return {"\1" + whole, std::string(1, '\0') + whole, "\1" + whole.substr(0, whole.size() / 2),
            "\1" + whole + "more"};
}

}  // namespace fuzz
