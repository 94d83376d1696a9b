#pragma once
// Whether watchers were told the truth: what each was sent, held against the whole history of the
// store. The nine guarantees of etcd's watch API, each a rule with its name:
//
//   ordered       events come by revision; those of one revision in the order of its changes
//   unique        no event comes twice on one watch
//   atomic        the events of a revision come in one response, unless fragments were asked for
//   reliable      between the first and the last that was sent none is left out
//   resumable     a watch from revision R begins with the first event at or after R
//   bookmarkable  a progress notification for R comes after all events up to R
//   prev-kv       the previous version is the one that was replaced
//   is-create     create revision and version say whether the key was there before
//   filter        only keys of the interval and kinds that were asked for
//
// Pure. Source: etcd's API guarantees for watches.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace watch_validator {

struct Record {
    std::string value;
    std::int64_t create_revision = 0;
    std::int64_t mod_revision = 0;
    std::int64_t version = 0;
    friend bool operator==(const Record&, const Record&) = default;
};

struct Event {
    bool is_delete = false;
    std::string key;
    Record record;                   // of a delete only the mod revision means something
    std::optional<Record> previous;  // as sent; empty when it was not
};

struct Response {
    std::int64_t revision = 0;  // the header's
    bool fragment = false;      // more of the same revision follows
    std::vector<Event> events;  // none: a progress notification
};

// One watch on one stream, from its creation to the stream's end.
struct Watch {
    std::string name;  // for messages
    std::string key;
    std::string range_end;            // empty: the one key; "\0": all from `key` on
    std::int64_t start_revision = 0;  // the first that is wanted
    bool no_put = false;
    bool no_delete = false;
    bool previous = false;
    bool fragment = false;
    std::vector<Response> responses;  // without the one that says that it was created
};

// All that ever happened, in order.
class History {
  public:
    // In the order of revisions and of the changes in each. What is wrong with it as a history (a
    // version that does not follow from the one before), or nothing.
    std::optional<std::string> add(const Event& event);

    struct Change {
        Event event;
        std::optional<Record> before;
    };
    const std::vector<Change>& changes() const { return changes_; }
    // What `key` was changed to at `revision`; nothing when it was not.
    const Event* at(std::int64_t revision, const std::string& key) const;

  private:
    std::vector<Change> changes_;
    std::map<std::string, Record> state_;
    std::map<std::pair<std::int64_t, std::string>, std::size_t> index_;
};

// Broken rules, each "rule: what"; none is what is wanted.
std::vector<std::string> validate(const Watch& watch, const History& history);

}  // namespace watch_validator
