#pragma once
// What a change was, as watchers see it. Made once and shared by all who watch it.

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
    // The mod revision of the record that the change replaced; 0: there was none.
    std::int64_t replaced = 0;
    // That record, where it was asked for; empty when it is compacted. The hub fills it in before
    // it hands the event to anyone.
    mutable std::string previous;
};

// All changes of one revision, in order.
struct RevisionEvents {
    std::int64_t revision = 0;
    std::vector<Event> events;
};
using RevisionEventsPtr = std::shared_ptr<const RevisionEvents>;

}  // namespace kvstore
