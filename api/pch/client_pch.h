// What most users of the client include, compiled once a library.
#include <fmt/format.h>

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/client.h"
#include "api/proto/apps_v1.pb.h"
#include "api/proto/coordination_v1.pb.h"
#include "api/proto/core_v1_event.pb.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "base/coro.h"
