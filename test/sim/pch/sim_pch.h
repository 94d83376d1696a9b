// Precompiled for the simulator: what is large and seldom changes.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kvstore/proto/command.pb.h"
#include "kvstore/proto/rpc.pb.h"
