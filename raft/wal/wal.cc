#include "raft/wal/wal.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/log.h"
#include "raft/wal/recovery.h"

namespace raft {

using wal::RecordType;

namespace {
// Soon there, and filled with zeros; while it is filled, the next is made.
constexpr std::uint64_t kFirstSegmentBytes = 1 << 20;
}  // namespace

base::Result<std::unique_ptr<Wal>> Wal::open(Disk& disk, WalOptions options,
                                             WalRecovered* recovered, Done ready) {
    std::unique_ptr<Wal> wal(new Wal(disk, std::move(options)));
    DiskBatch batch;
    std::uint64_t sequence = 0;
    {
        WalRecovery recovery(disk, wal->options_);
        TRY_VOID(recovery.run(wal.get(), recovered, &batch.removes, &sequence));
    }
    // What was read may still be in the page cache only: have it synced too.
    if (!wal->segments_.empty())
        batch.writes.push_back({wal::segment_name(wal->segments_.back().sequence), 0, ""});
    if (wal->vote_sequence_ > 0)
        for (const std::string name : wal::kVoteFiles)
            batch.writes.push_back({name, 0,
                                    name == recovered->damaged_vote
                                        ? wal::encode_vote({wal->vote_sequence_, recovered->hard})
                                        : std::string()});
    // Durable before anything that would hide the damage from another start: the next segment,
    // whose header says that the log goes on behind it, and the removals.
    if (!recovered->damage.empty()) {
        wal->note_damage(*recovered->damaged_in);
        batch.barrier = true;
    }
    const std::uint64_t start = wal->segments_.empty() ? 1 : wal->end_lsn();
    wal->segments_.push_back({sequence - 1, 0, start, 0, wal->last_});
    wal->durable_lsn_ = start;
    const bool fresh = wal->segments_.size() == 1;
    wal->begin_segment(&batch, fresh, std::min(kFirstSegmentBytes, wal->options_.segment_bytes), 0);
    if (fresh) {
        wal->segments_.pop_front();
    } else {
        wal->segments_.erase(wal->segments_.end() - 2);
    }
    wal->submit(std::move(batch), std::move(ready));
    return wal;
}

void Wal::begin_segment(DiskBatch* batch, bool reset, std::uint64_t usual, std::uint64_t need) {
    wal::SegmentHeader h;
    h.sequence = segments_.back().sequence + 1;
    CHECK(h.sequence <= std::numeric_limits<std::uint32_t>::max());
    h.start_lsn = end_lsn();
    h.durable_lsn = durable_lsn_;
    h.cluster_id = options_.cluster_id;
    h.node = options_.node;
    h.commit = commit_;
    h.previous = last_;
    h.config = configs_.back().second;
    h.reset = reset;
    std::string bytes = wal::encode_header(h);
    const std::string name = wal::segment_name(h.sequence);
    const std::uint64_t size = std::max(usual, bytes.size() + need);
    segments_.push_back({h.sequence, size, h.start_lsn, bytes.size(), h.previous});
    batch->creates.push_back({name, size, options_.segment_bytes});
    batch->writes.push_back({name, 0, std::move(bytes)});
}

void Wal::add_record(DiskBatch* batch, RecordType type, std::string_view head,
                     std::string_view tail, std::size_t more) {
    const std::size_t need = wal::kRecordHeader + head.size() + tail.size();
    if (segments_.back().used + need > segments_.back().file_bytes)
        begin_segment(batch, false, options_.segment_bytes, need);
    Segment& s = segments_.back();
    std::string name = wal::segment_name(s.sequence);
    if (batch->writes.empty() || batch->writes.back().name != name) {
        batch->writes.push_back({std::move(name), s.used, {}});
        batch->writes.back().data.reserve(need + more);
    }
    wal::append_record(&batch->writes.back().data, {s.sequence, s.used}, type, durable_lsn_, head,
                       tail);
    s.used += need;
}

void Wal::submit(DiskBatch batch, Done done) {
    const std::uint64_t lsn = end_lsn();
    disk_.submit(std::move(batch), [this, alive = std::weak_ptr<bool>(alive_), lsn,
                                    done = std::move(done)]() mutable {
        if (alive.expired()) return;
        durable_lsn_ = std::max(durable_lsn_, lsn);
        if (done) done();
    });
}

void Wal::submit_vote(const HardState& hard) {
    const std::string bytes = wal::encode_vote({++vote_sequence_, hard});
    for (const char* name : wal::kVoteFiles) {
        DiskBatch batch;
        batch.barrier = true;
        batch.writes.push_back({name, 0, bytes});
        disk_.submit(std::move(batch), nullptr);
    }
}

void Wal::note_damage(Term term) {
    DiskBatch batch;
    batch.writes.push_back({wal::kDamageFile, 0, wal::encode_damage(term)});
    disk_.submit(std::move(batch), nullptr);
}

void Wal::forget_damage() {
    DiskBatch batch;
    batch.removes.push_back(wal::kDamageFile);
    disk_.submit(std::move(batch), nullptr);
}

void Wal::truncate_from(Index index) {
    if (index > last_.index) return;
    CHECK(index > base_.index);
    locations_.resize(index - base_.index - 1);
    while (!runs_.empty() && runs_.back().index >= index)
        runs_.pop_back();
    while (configs_.size() > 1 && configs_.back().first >= index)
        configs_.pop_back();
    last_ = {index - 1, runs_.empty() ? base_.term : runs_.back().term};
}

void Wal::append(const std::optional<HardState>& hard, const std::vector<Entry>& entries,
                 Index commit, Done done) {
    if (hard) submit_vote(*hard);
    DiskBatch batch;
    if (!entries.empty()) {
        CHECK(entries.front().index <= last_.index + 1);
        std::size_t more = 64;  // and what comes behind the entry
        for (const Entry& e : entries)
            more += e.cost() + wal::kRecordHeader;
        truncate_from(entries.front().index);
        for (const Entry& e : entries) {
            more -= e.cost() + wal::kRecordHeader;
            add_record(&batch, RecordType::kEntry, wal::entry_head(e), e.data(), more);
            const Segment& s = segments_.back();
            const std::size_t size =
                wal::kRecordHeader + wal::entry_head(e).size() + e.data().size();
            locations_.push_back({static_cast<std::uint32_t>(s.sequence),
                                  static_cast<std::uint32_t>(s.used - size)});
            if (e.term != last_.term || runs_.empty()) runs_.push_back({e.index, e.term});
            last_ = {e.index, e.term};
            if (e.type == EntryType::kConfig) {
                auto config = decode_config_entry(e.data());
                CHECK(config.has_value());
                configs_.emplace_back(e.index, std::move(config->config));
            }
        }
        if (commit > commit_) {
            commit_ = commit;
            add_record(&batch, RecordType::kCommit, wal::encode_commit(commit), {});
        }
    }
    submit(std::move(batch), std::move(done));
}

void Wal::write_intent(Position position, const Config& config, Done done) {
    DiskBatch batch;
    add_record(&batch, RecordType::kIntent, wal::encode_intent(position, config), {});
    submit(std::move(batch), std::move(done));
}

void Wal::reset(Position position, const Config& config, Done done) {
    DiskBatch batch;
    for (const Segment& s : segments_)
        batch.removes.push_back(wal::segment_name(s.sequence));
    locations_.clear();
    runs_.clear();
    configs_.assign(1, {position.index, config});
    base_ = last_ = position;
    commit_ = std::max(commit_, position.index);
    begin_segment(&batch, true, options_.segment_bytes, 0);
    segments_.erase(segments_.begin(), segments_.end() - 1);
    submit(std::move(batch), std::move(done));
}

std::size_t Wal::first_kept(Index limit, const Log& log) const {
    std::size_t first = segments_.size() - 1;
    for (; first > 0; --first) {
        // Only where the segment's beginning is still a part of the log: a later term may have
        // replaced what was before it.
        const Position p = segments_[first].previous;
        if (p.index <= limit && log.matches(p)) break;
    }
    return first;
}

Index Wal::before_last(std::uint64_t bytes) const {
    std::uint64_t sum = 0;
    for (std::size_t i = segments_.size(); i > 1; --i) {
        sum += segments_[i - 1].used;
        if (sum >= bytes) return segments_[i - 1].previous.index;
    }
    return Index();
}

Index Wal::compact(Index limit, const Log& log) {
    const std::size_t first = first_kept(limit, log);
    if (first == 0) return base_.index;
    DiskBatch batch;
    for (std::size_t i = 0; i < first; ++i)
        batch.removes.push_back(wal::segment_name(segments_[i].sequence));
    const Position base = segments_[first].previous;
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(first));
    if (base.index > base_.index) {
        locations_.erase(locations_.begin(), locations_.begin() + static_cast<std::ptrdiff_t>(
                                                                      base.index - base_.index));
        Config config;
        for (const auto& [at, c] : configs_)
            if (at <= base.index) config = c;
        while (configs_.size() > 1 && configs_[1].first <= base.index)
            configs_.pop_front();
        configs_.front() = {base.index, std::move(config)};
        while (!runs_.empty() &&
               (runs_.size() == 1 ? last_.index <= base.index : runs_[1].index <= base.index + 1))
            runs_.pop_front();
        if (!runs_.empty() && runs_.front().index <= base.index)
            runs_.front().index = base.index + 1;
        base_ = base;
    }
    submit(std::move(batch), nullptr);
    return base_.index;
}

std::vector<Entry> Wal::read(Index from, Index to, std::size_t max_bytes) {
    CHECK(from > base_.index && to <= last_.index);
    std::vector<Entry> out;
    std::string chunk;
    Index chunk_to;
    Location chunk_at;
    std::size_t bytes = 0;
    for (Index i = from; i <= to; ++i) {
        const Location l = location(i);
        if (i > chunk_to) {
            if (!out.empty() && bytes + (end_of(i) - l.offset) > max_bytes) break;
            // All at once that lies side by side in one segment, and is wanted.
            chunk_at = l;
            chunk_to = i;
            while (chunk_to < to && location(chunk_to + 1).segment == l.segment &&
                   bytes + (end_of(chunk_to + 1) - l.offset) <= max_bytes)
                ++chunk_to;
            auto fresh =
                disk_.read(wal::segment_name(l.segment), l.offset, end_of(chunk_to) - l.offset);
            if (!fresh) {
                LOG_ERROR("wal", "cannot read entry {}: {}", i, fresh.error().to_string());
                return out;
            }
            chunk = std::move(*fresh);
        }
        const std::size_t skip = l.offset - chunk_at.offset;
        const auto rest = std::string_view(chunk).substr(std::min(skip, chunk.size()));
        const auto parsed = wal::parse_record(rest, {l.segment, l.offset});
        auto entry = parsed.kind == wal::ParsedRecord::Kind::kRecord
                         ? wal::decode_entry(parsed.record.body, true)
                         : std::nullopt;
        if (!entry || entry->index != i) {
            LOG_ERROR("wal", "entry {} is damaged on disk", i);
            return out;
        }
        bytes += entry->cost();
        if (!out.empty() && bytes > max_bytes) break;
        out.push_back(std::move(*entry));
    }
    return out;
}

std::uint64_t Wal::end_of(Index index) const {
    const Location l = location(index);
    if (index < last_.index && location(index + 1).segment == l.segment)
        return location(index + 1).offset;
    const auto segment = std::find_if(segments_.rbegin(), segments_.rend(),
                                      [&](const Segment& s) { return s.sequence == l.segment; });
    CHECK(segment != segments_.rend());
    return segment->used;
}

std::uint64_t Wal::bytes() const {
    std::uint64_t sum = 0;
    for (const Segment& s : segments_)
        sum += s.file_bytes;
    return sum;
}

}  // namespace raft
