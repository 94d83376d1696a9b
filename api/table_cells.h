#pragma once
// The cells of table rows, a function a kind. Pure.

#include <boost/json/array.hpp>
#include <chrono>

#include "api/object.h"

namespace api {

struct CellContext {
    std::chrono::system_clock::time_point now;
    // "5m12s"; "<unknown>" for a time that is not set.
    std::string age(const meta::Time& t) const;
};

// In the order of the kind's columns. Null: the kind has none of its own.
using Cells = boost::json::array (*)(const Message& object, const CellContext& context);
Cells cells_of(const google::protobuf::Descriptor* type);

// The parts, a file each.
boost::json::array pod_cells(const Message& object, const CellContext& context);
boost::json::array autoscaler_cells(const Message& object, const CellContext& context);
Cells other_cells(const google::protobuf::Descriptor* type);

}  // namespace api
