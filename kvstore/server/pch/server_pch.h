// What most of the services include, compiled once.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/coro.h"
#include "kvstore/node.h"
#include "kvstore/proto/rpc.pb.h"
#include "net/grpc.h"
