// What most of coxctl's files include, compiled once.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <string>
#include <vector>

#include "kvstore/proto/rpc.pb.h"
#include "tools/store_client.h"
