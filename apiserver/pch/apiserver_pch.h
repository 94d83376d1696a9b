// What nearly every file of the room includes.
#include <boost/json.hpp>
#include <map>
#include <string>
#include <vector>

#include "api/object.h"
#include "base/coro.h"
#include "kvstore/proto/rpc.pb.h"
#include "net/server.h"
