#include "test/history/watch_validator.h"

#include <fmt/format.h>

#include <set>

namespace watch_validator {
namespace {

bool in_interval(const Watch& w, const std::string& key) {
    if (w.range_end.empty()) return key == w.key;
    if (w.range_end == std::string(1, '\0')) return key >= w.key;
    return key >= w.key && key < w.range_end;
}

bool wanted(const Watch& w, const Event& e) {
    return in_interval(w, e.key) && !(e.is_delete ? w.no_delete : w.no_put);
}

std::string show(const Event& e) {
    return fmt::format("{} {} at {}", e.is_delete ? "delete" : "put", e.key, e.record.mod_revision);
}

class Validator {
  public:
    Validator(const Watch& watch, const History& history) : watch_(watch), history_(history) {
        for (const History::Change& c : history.changes())
            if (c.event.record.mod_revision >= watch.start_revision && wanted(watch, c.event))
                expected_.push_back(&c);
    }

    std::vector<std::string> run() {
        bool open_fragment = false;
        for (const Response& r : watch_.responses) {
            if (r.events.empty()) {
                bookmark(r.revision);
                continue;
            }
            const std::int64_t first = r.events.front().record.mod_revision;
            if (first == last_revision_ && !open_fragment)
                broken("atomic", fmt::format("revision {} comes in two responses", first));
            for (const Event& e : r.events)
                take(e);
            if (r.revision < last_revision_)
                broken("bookmarkable", fmt::format("a response of revision {} holds an event of {}",
                                                   r.revision, last_revision_));
            if (r.fragment && !watch_.fragment)
                broken("atomic", "a fragment that was not asked for");
            open_fragment = r.fragment;
        }
        return std::move(broken_);
    }

  private:
    void broken(const char* rule, const std::string& what) {
        if (broken_.size() < 20)
            broken_.push_back(fmt::format("{}: {}: {}", watch_.name, rule, what));
    }

    void take(const Event& e) {
        const std::int64_t revision = e.record.mod_revision;
        const bool seen_before = !seen_.emplace(revision, e.key).second;
        if (seen_before) broken("unique", show(e) + " came before");
        if (revision < last_revision_)
            broken("ordered", fmt::format("{} after revision {}", show(e), last_revision_));
        if (!wanted(watch_, e)) broken("filter", show(e) + " was not asked for");
        if (revision <= bookmark_)
            broken("bookmarkable", fmt::format("{} after progress to {}", show(e), bookmark_));
        if (revision < watch_.start_revision)
            broken("resumable", fmt::format("{} before {}", show(e), watch_.start_revision));
        last_revision_ = std::max(last_revision_, revision);
        follows(e, seen_before);
        content(e);
    }

    // It is the next of what was to come.
    void follows(const Event& e, bool seen_before) {
        if (next_ < expected_.size() && same(*expected_[next_], e)) {
            ++next_;
            return;
        }
        if (seen_before) return;
        for (std::size_t i = next_; i < expected_.size(); ++i) {
            if (!same(*expected_[i], e)) continue;
            broken(
                next_ == 0 ? "resumable" : "reliable",
                fmt::format("{} was left out before {}", show(expected_[next_]->event), show(e)));
            next_ = i + 1;
            return;
        }
        if (history_.at(e.record.mod_revision, e.key) == nullptr)
            broken("reliable", show(e) + " never happened");
    }
    static bool same(const History::Change& c, const Event& e) {
        return c.event.key == e.key && c.event.record.mod_revision == e.record.mod_revision &&
               c.event.is_delete == e.is_delete;
    }

    void content(const Event& e) {
        const Event* truth = history_.at(e.record.mod_revision, e.key);
        if (truth == nullptr) return;
        if (!e.is_delete) {
            if (e.record.value != truth->record.value)
                broken("reliable", show(e) + " has another value than what happened");
            if (e.record.create_revision != truth->record.create_revision ||
                e.record.version != truth->record.version)
                broken("is-create",
                       fmt::format("{} says created at {}, version {}; it was {}, {}", show(e),
                                   e.record.create_revision, e.record.version,
                                   truth->record.create_revision, truth->record.version));
        }
        if (watch_.previous && e.previous != truth->previous)
            broken("prev-kv", show(e) + (e.previous ? " has another previous version"
                                                    : " lacks its previous version"));
        if (!watch_.previous && e.previous)
            broken("prev-kv", show(e) + " has a previous version that was not asked for");
    }

    void bookmark(std::int64_t revision) {
        bookmark_ = std::max(bookmark_, revision);
        if (next_ < expected_.size() && expected_[next_]->event.record.mod_revision <= revision)
            broken("bookmarkable", fmt::format("progress to {} before {}", revision,
                                               show(expected_[next_]->event)));
    }

    const Watch& watch_;
    const History& history_;
    std::vector<const History::Change*> expected_;
    std::size_t next_ = 0;
    std::int64_t last_revision_ = 0;
    std::int64_t bookmark_ = 0;
    std::set<std::pair<std::int64_t, std::string>> seen_;
    std::vector<std::string> broken_;
};

}  // namespace

std::optional<std::string> History::add(const Event& event) {
    const std::int64_t revision = event.record.mod_revision;
    std::optional<std::string> wrong;
    if (!changes_.empty() && revision < changes_.back().event.record.mod_revision)
        wrong = show(event) + " comes after a later revision";
    const auto it = state_.find(event.key);
    std::optional<Record> before;
    if (it != state_.end()) before = it->second;
    if (!event.is_delete) {
        const std::int64_t created = before ? before->create_revision : revision;
        const std::int64_t version = before ? before->version + 1 : 1;
        if (event.record.create_revision != created || event.record.version != version)
            wrong =
                fmt::format("{} has create revision {} and version {}, not {} and {}", show(event),
                            event.record.create_revision, event.record.version, created, version);
        state_[event.key] = event.record;
    } else {
        if (!before) wrong = show(event) + " deletes what is not there";
        state_.erase(event.key);
    }
    Change change{event, before};
    change.event.previous = before;
    index_[{revision, event.key}] = changes_.size();
    changes_.push_back(std::move(change));
    return wrong;
}

const Event* History::at(std::int64_t revision, const std::string& key) const {
    const auto it = index_.find({revision, key});
    return it == index_.end() ? nullptr : &changes_[it->second].event;
}

std::vector<std::string> validate(const Watch& watch, const History& history) {
    return Validator(watch, history).run();
}

}  // namespace watch_validator
