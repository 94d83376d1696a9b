#pragma once
// What a change was, as watchers see it. Immutable once made; shared by all who watch it.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kvstore {

struct Event {
    bool is_delete = false;
    std::string key;
    // A serialized mvccpb.KeyValue. For a delete it has only the key and the mod revision.
    std::string record;
    // The record that the change replaced; empty when there was none (or it is compacted).
    std::string previous;
};

// All changes of one revision, in order.
struct RevisionEvents {
    std::int64_t revision = 0;
    std::vector<Event> events;
};
using RevisionEventsPtr = std::shared_ptr<const RevisionEvents>;

}  // namespace kvstore
