#include "kvstore/replica/proposals.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace kvstore {

bool detail::take_number(std::string_view* in, std::uint64_t* out) {
    return base::take_varint(in, out);
}

std::optional<Proposals::One> Proposals::only_one(std::string_view payload) {
    std::optional<One> out;
    std::size_t count = 0;
    // Not further than the second: most entries have many.
    const bool whole =
        for_each(payload, [&](raft::NodeId node, std::uint64_t sequence, std::string_view bytes) {
            out = One{node, sequence, bytes};
            return ++count < 2;
        });
    return whole && count == 1 ? out : std::nullopt;
}

void Proposals::add(std::string payload, bool alone, base::Millis deadline, Callback done) {
    unsent_.push_back(base_ + pending_.size());
    bytes_ += payload.size();
    ++live_;
    Pending p;
    p.payload = std::move(payload);
    p.alone = alone;
    p.done = std::move(done);
    p.deadline = deadline;
    pending_.push_back(std::move(p));
}

Proposals::Batch Proposals::next_batch(std::size_t max_bytes, raft::Term term) {
    Batch out;
    out.context = ++last_context_;
    std::uint64_t first = 0;
    while (!unsent_.empty()) {
        const std::uint64_t sequence = unsent_.front();
        const bool gone = sequence < base_ || !pending_[sequence - base_].live;
        if (gone) {
            unsent_.pop_front();
            continue;
        }
        Pending& p = pending_[sequence - base_];
        const bool full = out.payload.size() + p.payload.size() > max_bytes;
        if (out.count > 0 && (full || p.alone)) break;
        if (out.count == 0) {
            first = sequence;
            base::append_varint(&out.payload, node_.value());
            base::append_varint(&out.payload, first);
        }
        base::append_varint(&out.payload, sequence - first);
        base::append_varint(&out.payload, p.payload.size());
        out.payload += p.payload;
        p.context = out.context;
        p.term = term;
        ++out.count;
        unsent_.pop_front();
        if (p.alone) break;
    }
    return out;
}

void Proposals::requeue(const std::vector<std::uint64_t>& sequences) {
    if (sequences.empty()) return;
    std::deque<std::uint64_t> merged;
    std::merge(sequences.begin(), sequences.end(), unsent_.begin(), unsent_.end(),
               std::back_inserter(merged));
    unsent_ = std::move(merged);
}

void Proposals::unsend(std::uint64_t context) {
    std::vector<std::uint64_t> again;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
        Pending& p = pending_[i];
        if (!p.live || p.context != context) continue;
        p.context = 0;
        again.push_back(base_ + i);
    }
    requeue(again);
}

bool Proposals::waits(raft::NodeId node, std::uint64_t sequence) const {
    return node == node_ && sequence >= base_ && sequence - base_ < pending_.size() &&
           pending_[sequence - base_].live;
}

Proposals::Callback Proposals::take_at(std::size_t i) {
    Pending& p = pending_[i];
    CHECK(p.live);
    p.live = false;
    --live_;
    bytes_ -= p.payload.size();
    p.payload = {};
    return std::move(p.done);
}

void Proposals::trim() {
    while (!pending_.empty() && !pending_.front().live) {
        pending_.pop_front();
        ++base_;
    }
}

Proposals::Callback Proposals::take(std::uint64_t sequence) {
    Callback done = take_at(sequence - base_);
    trim();
    return done;
}

std::size_t Proposals::lost_before(raft::Term term) {
    std::vector<std::uint64_t> again;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
        Pending& p = pending_[i];
        if (!p.live || p.context == 0 || !(p.term < term)) continue;
        p.context = 0;
        again.push_back(base_ + i);
    }
    requeue(again);
    return again.size();
}

std::vector<Proposals::Callback> Proposals::take_sent() {
    std::vector<Callback> out;
    for (std::size_t i = 0; i < pending_.size(); ++i)
        if (pending_[i].live && pending_[i].context != 0) out.push_back(take_at(i));
    trim();
    return out;
}

std::vector<Proposals::Callback> Proposals::take_expired(base::Millis now) {
    std::vector<Callback> out;
    // All have the same patience, so they expire in order.
    for (std::size_t i = 0; i < pending_.size() && pending_[i].deadline <= now; ++i)
        if (pending_[i].live) out.push_back(take_at(i));
    trim();
    return out;
}

std::vector<Proposals::Callback> Proposals::take_all() {
    std::vector<Callback> out;
    for (std::size_t i = 0; i < pending_.size(); ++i)
        if (pending_[i].live) out.push_back(take_at(i));
    trim();
    unsent_.clear();
    return out;
}

}  // namespace kvstore
