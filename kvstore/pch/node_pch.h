// What most of the node's files include, compiled once.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvstore/node.h"
#include "kvstore/proto/command.pb.h"
#include "kvstore/proto/rpc.pb.h"
