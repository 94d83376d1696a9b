#include "raft/wal/recovery.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/log.h"
#include "base/planted.h"

namespace raft {

using wal::ParsedRecord;

namespace {
constexpr std::size_t kMaxHeader = 1U << 20U;
// No log is longer; tells records from garbage before their checksum is computed.
constexpr std::uint64_t kMaxLsnStep = std::uint64_t{1} << 44U;
}  // namespace

base::Status WalRecovery::read_votes(Wal* wal, WalRecovered* out) {
    std::size_t damaged = 0;
    std::optional<wal::VoteRecord> best;
    for (const char* name : wal::kVoteFiles) {
        auto bytes = disk_.read(name, 0, 64);
        if (!bytes && bytes.error().code == base::Code::kNotFound) {
            continue;
        }
        if (!bytes) return bytes.error();
        const auto record = wal::parse_vote(*bytes);
        if (!record) {
            ++damaged;
            out->damaged_vote = name;
        } else if (!best || record->sequence > best->sequence) {
            best = record;
        }
    }
    if (best) {
        wal->vote_sequence_ = best->sequence;
        out->hard = best->state;
        return {};
    }
    // Copy 1 is written only once copy 0 is durable: if both are there and neither can be read, a
    // vote was lost.
    if (damaged == 2) return base::data_loss("both copies of the vote record are damaged");
    return {};
}

base::Status WalRecovery::read_files() {
    TRY(auto names, disk_.list());
    for (const std::string& name : names) {
        const auto sequence = wal::parse_segment_name(name);
        if (!sequence) continue;
        File file;
        file.sequence = *sequence;
        TRY(const auto start, disk_.read(name, 0, kMaxHeader));
        if (wal::is_format_1(start))
            return base::Error(base::Code::kFailedPrecondition,
                               name + " is of format 1, which this version does not read");
        if (auto header = wal::parse_header(start, *sequence)) {
            file.valid = true;
            file.header = std::move(*header);
            const auto& h = file.header.header;
            if (h.cluster_id != options_.cluster_id || h.node != options_.node)
                return base::Error(
                    base::Code::kFailedPrecondition,
                    fmt::format("the log belongs to member {:x} of cluster {:x}, not to member "
                                "{:x} of cluster {:x}",
                                h.node, h.cluster_id, options_.node, options_.cluster_id));
        }
        files_.push_back(std::move(file));
    }
    std::sort(files_.begin(), files_.end(),
              [](const File& a, const File& b) { return a.sequence < b.sequence; });
    return {};
}

// Segments that later ones have taken the place of: before a reset, or from beyond a cut.
void WalRecovery::drop_void(std::vector<std::string>* removes) {
    std::vector<File> kept;
    std::uint64_t lowest = ~std::uint64_t{0};
    bool reset = false;
    for (auto it = files_.rbegin(); it != files_.rend(); ++it) {
        const bool is_void = reset || (it->valid && it->header.header.start_lsn >= lowest);
        if (is_void) {
            removes->push_back(wal::segment_name(it->sequence));
            continue;
        }
        if (it->valid) {
            lowest = it->header.header.start_lsn;
            reset = it->header.header.reset;
        }
        kept.push_back(std::move(*it));
    }
    std::reverse(kept.begin(), kept.end());
    files_ = std::move(kept);
}

base::Status WalRecovery::load(std::size_t i) {
    if (!files_[i].bytes.empty()) return {};
    TRY(files_[i].bytes, disk_.read(wal::segment_name(files_[i].sequence), 0, ~std::uint64_t{0}));
    return {};
}

// Whether something after this place says that the log was durable beyond `lsn`.
base::Result<bool> WalRecovery::proof_after(std::size_t i, std::size_t offset, std::uint64_t lsn) {
    for (std::size_t k = i; k < files_.size(); ++k) {
        const File& file = files_[k];
        if (k > i && file.valid && file.header.header.durable_lsn > lsn) return true;
        TRY_VOID(load(k));
        const std::string_view bytes = file.bytes;
        std::size_t at = k == i ? offset : 0;
        while (at < bytes.size()) {
            at = bytes.find_first_not_of('\0', at);
            if (at == std::string_view::npos) break;
            // The length's low bytes may be zero: a record may begin a little earlier.
            for (std::size_t back = 0; back < 4 && back <= at; ++back) {
                const std::size_t start = at - back;
                if (k == i && start <= offset) continue;
                if (bytes.size() - start < wal::kRecordHeader) continue;
                const auto durable = base::load_le<std::uint64_t>(&bytes[start + 8]);
                if (durable <= lsn || durable - lsn > kMaxLsnStep) continue;
                const auto parsed = wal::parse_record(bytes.substr(start), {file.sequence, start});
                if (parsed.kind == ParsedRecord::Kind::kRecord) return true;
            }
            ++at;
        }
    }
    return false;
}

void WalRecovery::cut(std::size_t i, std::size_t offset) {
    was_cut_ = true;
    const bool whole = offset == 0;
    for (std::size_t k = i + (whole ? 0 : 1); k < files_.size(); ++k)
        removes_.push_back(wal::segment_name(files_[k].sequence));
    files_.resize(i + (whole ? 0 : 1));
}

base::Status WalRecovery::bad_at(std::size_t i, std::size_t offset) {
    const File& file = files_[i];
    const std::uint64_t lsn = file.valid                ? file.header.header.start_lsn + offset
                              : wal_->segments_.empty() ? 0
                                                        : wal_->end_lsn();
    TRY(const bool proven, proof_after(i, offset, lsn));
    if (proven) return lose(i, offset, "unreadable, although it was durable and more follows");
    LOG_WARN("wal", "cutting a torn tail: {} at offset {}", wal::segment_name(file.sequence),
             offset);
    cut(i, offset);
    if (base::planted(base::PlantedBug::kTailCutTooFar) && wal_->last_.index > wal_->base_.index)
        wal_->truncate_from(wal_->last_.index);
    return {};
}

// The newest membership that can be read: at the log's end so far, or else in a later segment.
const Config& WalRecovery::known_config(std::size_t from) const {
    // A log begins with an empty one, until its first entry.
    const auto known = [](const Config& config) { return config.voters() > 0; };
    if (!wal_->configs_.empty() && known(wal_->configs_.back().second))
        return wal_->configs_.back().second;
    for (std::size_t k = from; k < files_.size(); ++k)
        if (files_[k].valid && known(files_[k].header.header.config))
            return files_[k].header.header.config;
    return options_.fallback;
}

// Gives up what follows, where there are peers to get it from.
base::Status WalRecovery::lose(std::size_t i, std::size_t offset, std::string_view what) {
    TRY_VOID(give_up(i, fmt::format("{} at offset {} is {}", wal::segment_name(files_[i].sequence),
                                    offset, what)));
    cut(i, offset);
    return {};
}

base::Status WalRecovery::give_up(std::size_t from, std::string_view what) {
    const Config config = known_config(from);
    const std::size_t others = config.voters() - (config.is_voter(options_.node) ? 1 : 0);
    const std::string damage = fmt::format("the log is damaged: {}", what);
    if (others == 0)
        return base::data_loss(damage +
                               ", and no other member can give it back: restore a snapshot");
    LOG_ERROR("wal", "{}; what follows comes from the other members", damage);
    if (wal_->configs_.empty()) wal_->configs_.assign(1, {Index(0), config});
    out_->damage = damage;
    out_->damaged_in = out_->hard.term;
    return {};
}

base::Status WalRecovery::read_damage_note() {
    const auto bytes = disk_.read(wal::kDamageFile, 0, 64);
    if (!bytes && bytes.error().code == base::Code::kNotFound) return {};
    if (!bytes) return bytes.error();
    // What it says is what the vote record says at least.
    out_->damaged_in = wal::parse_damage(*bytes).value_or(out_->hard.term);
    return {};
}

base::Status WalRecovery::replay_record(std::size_t i, std::size_t offset,
                                        const wal::Record& record) {
    const File& file = files_[i];
    const auto damaged = [&](std::string_view what) {
        return base::data_loss(fmt::format("the log is damaged: {} at offset {}: {}",
                                           wal::segment_name(file.sequence), offset, what));
    };
    if (record.type == wal::RecordType::kCommit) {
        const auto commit = wal::decode_commit(record.body);
        if (!commit) return damaged("bad commit record");
        wal_->commit_ = std::max(wal_->commit_, *commit);
        return {};
    }
    if (record.type == wal::RecordType::kIntent) {
        out_->intent = wal::decode_intent(record.body);
        if (!out_->intent) return damaged("bad intent record");
        return {};
    }
    const auto entry = record.type == wal::RecordType::kEntry ? wal::decode_entry(record.body, true)
                                                              : std::nullopt;
    if (!entry) return damaged("unknown record");
    if (entry->index > wal_->last_.index + 1) return lose(i, offset, "not the entry that follows");
    if (entry->index <= wal_->base_.index) return {};
    wal_->truncate_from(entry->index);
    if (entry->term < wal_->last_.term) return damaged("terms go back");
    if (entry->term != wal_->last_.term || wal_->runs_.empty())
        wal_->runs_.push_back({entry->index, entry->term});
    wal_->last_ = {entry->index, entry->term};
    wal_->locations_.push_back(
        {static_cast<std::uint32_t>(file.sequence), static_cast<std::uint32_t>(offset)});
    if (entry->type == EntryType::kConfig) {
        auto config = decode_config_entry(entry->data());
        if (!config) return damaged("bad membership");
        wal_->configs_.emplace_back(entry->index, std::move(config->config));
    }
    return {};
}

base::Status WalRecovery::replay(std::size_t i) {
    File& file = files_[i];
    if (!file.valid) return bad_at(i, 0);
    TRY_VOID(load(i));
    const auto& h = file.header.header;
    if (wal_->segments_.empty()) {
        wal_->base_ = wal_->last_ = h.previous;
        wal_->configs_.assign(1, {h.previous.index, h.config});
    }
    wal_->commit_ = std::max(wal_->commit_, h.commit);
    wal_->segments_.push_back(
        {h.sequence, file.bytes.size(), h.start_lsn, file.header.size, h.previous});
    const bool last = i + 1 == files_.size();
    std::uint64_t limit = file.bytes.size();
    std::uint64_t needed = 0;  // where the next segment goes on
    if (!last && files_[i + 1].valid) {
        needed = files_[i + 1].header.header.start_lsn - h.start_lsn;
        limit = std::min(limit, needed);
    }
    std::size_t at = file.header.size;
    const std::string_view bytes = std::string_view(file.bytes).substr(0, limit);
    while (at < bytes.size()) {
        const auto parsed = wal::parse_record(bytes.substr(at), {file.sequence, at});
        if (parsed.kind != ParsedRecord::Kind::kRecord) {
            const bool clean_end = parsed.kind == ParsedRecord::Kind::kEnd && last &&
                                   bytes.find_first_not_of('\0', at) == std::string_view::npos;
            return clean_end ? base::Status() : bad_at(i, at);
        }
        TRY_VOID(replay_record(i, at, parsed.record));
        if (was_cut_) return {};
        at += parsed.size;
        wal_->segments_.back().used = at;
    }
    // The file is shorter than it was: a batch that made two segments was torn, or it was damaged.
    if (at < needed) return bad_at(i, at);
    file.bytes = {};
    return {};
}

base::Status WalRecovery::run(Wal* wal, WalRecovered* out, std::vector<std::string>* removes,
                              std::uint64_t* next_sequence) {
    wal_ = wal;
    out_ = out;
    TRY_VOID(read_files());
    TRY_VOID(read_votes(wal, out));
    TRY_VOID(read_damage_note());
    *next_sequence = files_.empty() ? 1 : files_.back().sequence + 1;
    drop_void(&removes_);
    for (std::size_t i = 0; i < files_.size() && !was_cut_; ++i)
        TRY_VOID(replay(i));
    out->torn_tail_cut = was_cut_ && out->damage.empty();
    *removes = std::move(removes_);
    if (wal->segments_.empty() && out->damage.empty()) {
        // The first segment is durable before the first vote.
        if (out->hard.term > Term(0))
            TRY_VOID(give_up(0, "no readable segment beside a vote record"));
        out->fresh = out->damage.empty();
        if (out->fresh) wal->configs_.assign(1, {Index(0), Config{}});
    }
    out->commit = std::min(wal->commit_, wal->last_.index);
    out->log.base = wal->base_;
    out->log.base_config = wal->configs_.front().second;
    out->log.last = wal->last_.index;
    out->log.term_starts.assign(wal->runs_.begin(), wal->runs_.end());
    out->log.configs.assign(std::next(wal->configs_.begin()), wal->configs_.end());
    return {};
}

}  // namespace raft
