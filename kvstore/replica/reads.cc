#include "kvstore/replica/reads.h"

#include <iterator>

namespace kvstore {

void Reads::add(base::Millis deadline, Callback done) {
    ++live_;
    unasked_.push_back({deadline, std::move(done)});
}

std::uint64_t Reads::next_context(base::Millis now) {
    if (unasked_.empty()) return 0;
    Asked& asked = asked_[++last_context_];
    asked.at = now;
    asked.reads.swap(unasked_);
    return last_context_;
}

void Reads::put_back(std::deque<Waiting> reads) {
    unasked_.insert(unasked_.begin(), std::make_move_iterator(reads.begin()),
                    std::make_move_iterator(reads.end()));
}

void Reads::unask(std::uint64_t context) {
    const auto it = asked_.find(context);
    if (it == asked_.end()) return;
    put_back(std::move(it->second.reads));
    asked_.erase(it);
}

void Reads::unask_before(base::Millis before) {
    for (auto it = asked_.begin(); it != asked_.end();) {
        if (it->second.at < before) {
            put_back(std::move(it->second.reads));
            it = asked_.erase(it);
        } else {
            ++it;
        }
    }
}

void Reads::answered(std::uint64_t context, raft::Index index) {
    const auto it = asked_.find(context);
    if (it == asked_.end()) return;
    auto& list = confirmed_[index];
    list.insert(list.end(), std::make_move_iterator(it->second.reads.begin()),
                std::make_move_iterator(it->second.reads.end()));
    asked_.erase(it);
}

std::vector<Reads::Callback> Reads::take_ready(raft::Index applied) {
    std::vector<Callback> out;
    while (!confirmed_.empty() && confirmed_.begin()->first <= applied) {
        for (Waiting& w : confirmed_.begin()->second)
            out.push_back(std::move(w.done));
        confirmed_.erase(confirmed_.begin());
    }
    live_ -= out.size();
    return out;
}

void Reads::expire(std::deque<Waiting>* reads, base::Millis now, std::vector<Callback>* out) {
    std::deque<Waiting> kept;
    for (Waiting& w : *reads) {
        if (w.deadline <= now) {
            out->push_back(std::move(w.done));
        } else {
            kept.push_back(std::move(w));
        }
    }
    reads->swap(kept);
}

std::vector<Reads::Callback> Reads::take_expired(base::Millis now) {
    std::vector<Callback> out;
    expire(&unasked_, now, &out);
    for (auto& [context, asked] : asked_)
        expire(&asked.reads, now, &out);
    for (auto& [index, reads] : confirmed_)
        expire(&reads, now, &out);
    live_ -= out.size();
    return out;
}

std::vector<Reads::Callback> Reads::take_all() {
    return take_expired(base::Millis::max());
}

}  // namespace kvstore
