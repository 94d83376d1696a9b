#include "raft/core/log.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace raft {

Log::Log(RecoveredLog recovered, EntrySource& source)
    : source_(source),
      base_(recovered.base),
      last_(recovered.last),
      commit_(recovered.base.index),
      stable_(recovered.last),
      runs_(recovered.term_starts.begin(), recovered.term_starts.end()) {
    CHECK(last_ >= base_.index);
    CHECK(last_ == base_.index || (!runs_.empty() && runs_.front().index == base_.index + 1));
    configs_.emplace_back(base_.index, std::move(recovered.base_config));
    for (auto& c : recovered.configs)
        configs_.push_back(std::move(c));
}

Term Log::term_of(Index index) const {
    if (index == base_.index) return base_.term;
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                        [](Index i, const Position& run) { return i < run.index; });
    CHECK(after != runs_.begin());
    return std::prev(after)->term;
}

std::optional<Term> Log::term(Index index) const {
    if (index < base_.index || index > last_) return std::nullopt;
    return term_of(index);
}

bool Log::is_up_to_date(Position p) const {
    const Term mine = last_term();
    return p.term > mine || (p.term == mine && p.index >= last_);
}

Index Log::conflict_hint(Index index, Term term) const {
    if (index > last_) index = last_;
    while (index > base_.index && term_of(index) > term) {
        // Step over the whole run: all of it has the same, too new term.
        const auto after =
            std::upper_bound(runs_.begin(), runs_.end(), index,
                             [](Index i, const Position& run) { return i < run.index; });
        index = std::prev(after)->index - 1;
    }
    return index;
}

void Log::truncate_from(Index index) {
    CHECK(index > commit_, "entry {} is replaced although {} is committed", index, commit_);
    while (!cache_.empty() && cache_.back().index >= index) {
        cache_bytes_ -= cache_.back().cost();
        cache_.pop_back();
    }
    while (!runs_.empty() && runs_.back().index >= index)
        runs_.pop_back();
    while (configs_.size() > 1 && configs_.back().first >= index)
        configs_.pop_back();
    last_ = index - 1;
    stable_ = std::min(stable_, last_);
}

void Log::append(const std::vector<Entry>& entries) {
    if (entries.empty()) return;
    CHECK(entries.front().index <= last_ + 1, "gap: {} after {}", entries.front().index, last_);
    if (entries.front().index <= last_) truncate_from(entries.front().index);
    for (const Entry& e : entries) {
        CHECK(e.index == last_ + 1);
        CHECK(e.term >= last_term());
        if (e.term != last_term() || runs_.empty()) runs_.push_back({e.index, e.term});
        last_ = e.index;
        cache_bytes_ += e.cost();
        cache_.push_back(e);
        if (e.type == EntryType::kConfig) {
            auto decoded = decode_config_entry(e.data());
            CHECK(decoded.has_value());
            configs_.emplace_back(e.index, std::move(decoded->config));
        }
    }
}

void Log::stable_to(Position p) {
    if (p.index > stable_ && matches(p)) stable_ = p.index;
}

void Log::commit_to(Index index) {
    CHECK(index <= last_, "commit {} past the last entry {}", index, last_);
    commit_ = std::max(commit_, index);
}

void Log::compact(Index index) {
    if (index <= base_.index) return;
    CHECK(index <= commit_ && index <= stable_);
    const Position next{index, term_of(index)};
    Config config = config_at(index);
    while (!cache_.empty() && cache_.front().index <= index) {
        cache_bytes_ -= cache_.front().cost();
        cache_.pop_front();
    }
    while (!runs_.empty() && (runs_.size() == 1 ? last_ <= index : runs_[1].index <= index + 1))
        runs_.pop_front();
    if (!runs_.empty() && runs_.front().index <= index) runs_.front().index = index + 1;
    while (configs_.size() > 1 && configs_[1].first <= index)
        configs_.pop_front();
    configs_.front() = {index, std::move(config)};
    base_ = next;
}

void Log::restore(Position p, Config config) {
    CHECK(p.index > commit_);
    cache_.clear();
    cache_bytes_ = 0;
    runs_.clear();
    configs_.clear();
    configs_.emplace_back(p.index, std::move(config));
    base_ = p;
    last_ = commit_ = stable_ = p.index;
}

void Log::evict(Index applied, std::size_t bytes) {
    const Index limit = std::min(applied, stable_);
    while (cache_bytes_ > bytes && !cache_.empty() && cache_.front().index <= limit) {
        cache_bytes_ -= cache_.front().cost();
        cache_.pop_front();
    }
}

std::vector<Entry> Log::slice(Index from, Index to, std::size_t max_bytes) const {
    std::vector<Entry> out;
    to = std::min(to, last_);
    if (from > to) return out;
    CHECK(from > base_.index);
    const Index cached = cache_.empty() ? last_ + 1 : cache_.front().index;
    if (from < cached) return source_.read(from, std::min(to, cached - 1), max_bytes);
    std::size_t bytes = 0;
    for (std::size_t i = from - cached; i <= to - cached; ++i) {
        bytes += cache_[i].cost();
        if (!out.empty() && bytes > max_bytes) break;
        out.push_back(cache_[i]);
    }
    return out;
}

const Config& Log::config_at(Index index) const {
    for (auto it = configs_.rbegin(); it != configs_.rend(); ++it)
        if (it->first <= index) return it->second;
    return configs_.front().second;
}

std::optional<Index> Log::next_config_after(Index index) const {
    for (const auto& [at, config] : configs_)
        if (at > index && at > base_.index) return at;
    return std::nullopt;
}

}  // namespace raft
