#include "kvstore/core/shared_ranges.h"

#include <utility>

namespace kvstore {

bool SharedRanges::join(const std::string& question, Taker taker) {
    auto& waiting = waiting_[question];
    waiting.push_back(std::move(taker));
    return waiting.size() > 1;
}

void SharedRanges::finish(const std::string& question, const RangeBody& body) {
    const auto node = waiting_.extract(question);
    for (auto& taker : node.mapped())
        taker(body);
}

}  // namespace kvstore
