#include "test/sim/sim_disk.h"

#include <algorithm>
#include <utility>

#include "raft/wal/vote_file.h"

namespace sim {

constexpr std::uint64_t kSector = 512;
constexpr std::size_t kRecent = 30;

base::Result<std::vector<std::string>> SimDisk::list() {
    std::vector<std::string> out;
    for (const auto& [name, bytes] : files_)
        out.push_back(name);
    return out;
}

base::Result<std::string> SimDisk::read(const std::string& name, std::uint64_t offset,
                                        std::uint64_t length) {
    const auto it = files_.find(name);
    if (it == files_.end()) return base::not_found(name);
    if (offset >= it->second.size()) return std::string();
    return it->second.substr(offset, length);
}

void SimDisk::submit(raft::DiskBatch batch, base::UniqueFunction<void()> done) {
    if (frozen_) return;  // after the power went: nothing of it can be there
    queue_.push_back({std::move(batch), std::move(done)});
    start_next();
}

void SimDisk::start_next() {
    if (!job_.empty() || queue_.empty()) return;
    do {
        job_.push_back(std::move(queue_.front()));
        queue_.pop_front();
    } while (!queue_.empty() && !queue_.front().batch.barrier);
    if (job_.size() > 1) World::cover("group commits");
    if (waits_for_space()) return;
    world_.after(world_.random.between(low_, high_), [this, e = epoch_] { finished(e); });
}

void SimDisk::put(const raft::DiskBatch::Write& write, std::uint64_t from, std::uint64_t to) {
    std::string& file = files_[write.name];
    if (file.size() < write.offset + to) file.resize(write.offset + to);
    file.replace(write.offset + from, to - from, write.data, from, to - from);
}

bool SimDisk::waits_for_space() const {
    if (!full_) return false;
    for (const Waiting& w : job_)
        if (!w.batch.creates.empty()) return true;
    return false;
}

void SimDisk::set_full(bool full) {
    if (full == full_) return;
    full_ = full;
    if (trouble_) {
        auto tell = [this, full] {
            if (trouble_)
                trouble_(full ? base::Status(base::Error(base::Code::kResourceExhausted,
                                                         "no space left on device"))
                              : base::Status());
        };
        World::cover(full ? "log disks that were full" : "log disks with space again");
        run ? run(std::move(tell)) : tell();
    }
    if (!full && !job_.empty())
        world_.after(world_.random.between(low_, high_), [this, e = epoch_] { finished(e); });
}

void SimDisk::finished(std::uint64_t epoch) {
    if (epoch != epoch_ || frozen_ || job_.empty() || waits_for_space()) return;
    if (std::exchange(fail_sync_, false)) {
        World::cover("syncs of the log failed");
        return run([this] { on_failed_sync(); });
    }
    std::vector<Waiting> job;
    job.swap(job_);
    for (const Waiting& w : job)
        for (const auto& create : w.batch.creates)
            files_[create.name].resize(create.bytes);
    for (const Waiting& w : job)
        for (const auto& write : w.batch.writes) {
            put(write, 0, write.data.size());
            if (write.name.ends_with(".wal")) recent_.push_back(write);
            if (recent_.size() > kRecent) recent_.pop_front();
        }
    for (const Waiting& w : job)
        for (const auto& name : w.batch.removes)
            files_.erase(name);
    start_next();
    for (Waiting& w : job) {
        if (epoch != epoch_) return;
        if (!w.done) continue;
        if (run)
            run(std::move(w.done));
        else
            w.done();
    }
}

void SimDisk::crash_batch(const raft::DiskBatch& batch) {
    base::Random& random = world_.random;
    const std::uint64_t mode = random.below(4);  // 0: nothing, 1: all, otherwise a mixture
    if (mode == 0) return;
    for (const auto& create : batch.creates)
        if (mode == 1 || random.chance(2, 3)) files_[create.name].resize(create.bytes);
    for (const auto& write : batch.writes) {
        if (files_.count(write.name) == 0 && mode != 1 && random.chance(1, 2)) continue;
        std::uint64_t at = 0;
        while (at < write.data.size()) {
            const std::uint64_t in_sector = kSector - (write.offset + at) % kSector;
            const std::uint64_t end = std::min<std::uint64_t>(write.data.size(), at + in_sector);
            if (mode == 1 || random.chance(1, 2)) put(write, at, end);
            at = end;
        }
    }
    World::cover("batches torn by a crash");
}

void SimDisk::crash(bool) {
    ++epoch_;
    frozen_ = false;
    trouble_ = nullptr;
    for (const Waiting& w : job_)
        crash_batch(w.batch);
    job_.clear();
    queue_.clear();
}

bool SimDisk::rot() {
    std::vector<std::pair<std::string*, std::size_t>> candidates;  // and how much of it is used
    for (auto& [name, bytes] : files_) {
        const auto last = bytes.find_last_not_of('\0');
        if (name.ends_with(".wal") && last != std::string::npos)
            candidates.emplace_back(&bytes, last + 1);
    }
    if (candidates.empty()) return false;
    const auto& [bytes, used] = candidates[world_.random.below(candidates.size())];
    flip_a_bit(world_.random, *bytes, used);
    return true;
}

bool SimDisk::rot_vote() {
    const bool second = world_.random.chance(1, 2);
    const auto it = files_.find(raft::wal::kVoteFiles[second]);
    const auto other = files_.find(raft::wal::kVoteFiles[!second]);
    if (it == files_.end() || it->second.empty() || other == files_.end()) return false;
    if (!raft::wal::parse_vote(other->second)) return false;
    flip_a_bit(world_.random, it->second, it->second.size());
    return true;
}

bool SimDisk::misdirect() {
    if (recent_.size() < 2) return false;
    const auto& write = recent_[world_.random.below(recent_.size())];
    const auto& place = recent_[world_.random.below(recent_.size())];
    const auto file = files_.find(place.name);
    if (&write == &place || file == files_.end() ||
        place.offset + write.data.size() > file->second.size())
        return false;
    file->second.replace(place.offset, write.data.size(), write.data);
    return true;
}

}  // namespace sim
