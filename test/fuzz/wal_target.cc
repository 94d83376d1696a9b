// A log's directory as a broken disk might give it back: segments, records with right and wrong
// checksums, votes, the note of damage. Opening it either fails with a message or gives a log that
// holds together, can be read and can be appended to.

#include "base/check.h"
#include "raft/wal/record.h"
#include "raft/wal/vote_file.h"
#include "raft/wal/wal.h"
#include "test/fuzz/memory_disk.h"
#include "test/fuzz/target.h"

namespace fuzz {
namespace {

using namespace raft;

constexpr std::uint64_t kCluster = 1;
constexpr NodeId kNode{1};

Config three() {
    Config c;
    for (const std::uint64_t id : {1U, 2U, 3U})
        c.peers.push_back({NodeId(id), false, "x"});
    return c;
}

std::unique_ptr<Wal> open(MemoryDisk& disk, WalRecovered* recovered) {
    WalOptions options{kCluster, kNode, 4096};
    options.fallback = three();
    auto wal = Wal::open(disk, std::move(options), recovered, [] {});
    return wal ? std::move(*wal) : nullptr;
}

// What the members of the group rely on.
void hold_together(Wal& wal, const WalRecovered& r) {
    CHECK(r.log.base.index <= r.log.last);
    Index at = r.log.base.index;
    Term term = r.log.base.term;
    for (const Position& run : r.log.term_starts) {
        CHECK(run.index > at || at == r.log.base.index);
        CHECK(run.index <= r.log.last && run.term >= term);
        at = run.index;
        term = run.term;
    }
    for (Index i = r.log.base.index + 1; i <= r.log.last;) {
        const auto entries = wal.read(i, r.log.last, 1U << 20U);
        CHECK(!entries.empty() && entries.front().index == i);
        i = entries.back().index + 1;
    }
}

// Segments made from the input: a header, then records with the right checksum and raw bytes.
void make_files(Reader& in, MemoryDisk* disk) {
    const unsigned segments = 1 + in.byte() % 4;
    std::uint64_t lsn = 0;
    for (unsigned s = 1; s <= segments; ++s) {
        wal::SegmentHeader header;
        header.sequence = s;
        header.start_lsn = lsn;
        header.cluster_id = kCluster;
        header.node = kNode;
        header.commit = Index(in.byte());
        header.previous = {Index(in.byte()), Term(in.byte())};
        header.reset = in.byte() % 8 == 7;
        header.config = three();
        std::string bytes = encode_header(header);
        const std::size_t head = bytes.size();
        for (unsigned records = in.byte() % 16; records > 0 && !in.empty(); --records) {
            const std::uint8_t kind = in.byte();
            if (kind % 8 == 0)
                bytes += in.piece();
            else
                wal::append_record(&bytes, {s, bytes.size()},
                                   static_cast<wal::RecordType>(1 + kind % 3), in.byte() * 16U,
                                   in.piece());
        }
        lsn += bytes.size() - head;
        disk->files[wal::segment_name(s)] = std::move(bytes);
    }
    for (const char* vote : wal::kVoteFiles)
        disk->files[vote] =
            in.byte() % 4 == 0
                ? std::string(in.piece())
                : wal::encode_vote({in.byte(), {Term(in.byte()), NodeId(in.byte() % 4)}});
    if (in.byte() % 4 == 3) disk->files[wal::kDamageFile] = in.piece();
}

// What an honest member has written.
MemoryDisk honest() {
    MemoryDisk disk;
    WalRecovered recovered;
    const auto wal = open(disk, &recovered);
    CHECK(wal);
    const auto payload = [](std::string text) {
        return std::make_shared<const std::string>(std::move(text));
    };
    wal->append(
        HardState{Term(1), kNode},
        {{Term(1), Index(1), EntryType::kConfig, payload(encode(ConfigEntry{{}, three()}))}},
        Index(0), nullptr);
    for (std::uint64_t i = 2; i < 40; ++i)
        wal->append({}, {{Term(1 + i / 10), Index(i), EntryType::kData, payload("entry")}},
                    Index(i - 1), nullptr);
    return disk;
}

// Bytes of an honest log changed, cut and dropped.
void damage(Reader& in, MemoryDisk* disk) {
    while (!in.empty()) {
        auto it = disk->files.begin();
        std::advance(it, in.byte() % disk->files.size());
        std::string& bytes = it->second;
        const std::uint8_t how = in.byte();
        const std::size_t at = bytes.empty() ? 0 : in.number() % bytes.size();
        if (how % 8 == 0)
            bytes.resize(at);
        else if (how % 8 == 1 && disk->files.size() > 1)
            disk->files.erase(it);
        else
            bytes.replace(at, how / 8, in.take(how / 8));
    }
}

}  // namespace

void run(std::string_view input) {
    Reader in(input);
    MemoryDisk disk;
    if (in.byte() % 2 == 0) {
        disk = honest();
        damage(in, &disk);
    } else {
        make_files(in, &disk);
    }
    WalRecovered recovered;
    const auto wal = open(disk, &recovered);
    if (!wal) return;
    hold_together(*wal, recovered);
    // What is appended now is there after another start.
    const Entry next{Term(1000), recovered.log.last + 1, EntryType::kData,
                     std::make_shared<const std::string>("next")};
    wal->append(HardState{Term(1000), kNode}, {next}, recovered.log.last, nullptr);
    WalRecovered again;
    const auto reopened = open(disk, &again);
    CHECK(reopened && again.log.last == next.index && again.hard.term == Term(1000));
    hold_together(*reopened, again);
}

std::vector<std::string> seeds() {
    using namespace std::string_literals;
    std::vector<std::string> out = {"\0"s, "\0\0\7\0\0\0\0\0\0\1\0"s};
    for (unsigned char at = 0; at < 250; at += 25)
        out.push_back("\0\0\x0f\0\0\0\0\0\0\0"s + static_cast<char>(at) + "x"s);
    // One segment of three records: entries 1 and 2, and a commit.
    std::string made = "\1\0\0\0\0\0\3"s;
    const auto record = [&](int type, const std::string& body) {
        made += static_cast<char>(type - 1 + 24) + "\0"s + piece(body);
    };
    for (std::uint64_t i = 1; i <= 2; ++i) {
        const Entry e{Term(1), Index(i), EntryType::kData,
                      std::make_shared<const std::string>("payload")};
        record(1, wal::entry_head(e) + "payload");
    }
    record(2, wal::encode_commit(Index(1)));
    made += "\1\1\1\1\1\2\1\1\0"s;
    out.push_back(made);
    return out;
}

}  // namespace fuzz
