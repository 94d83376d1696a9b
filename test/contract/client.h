#pragma once
// A plain client of an etcd v3 server for tests that say line by line what such a server promises.
// Blocking; one thread. The server is named by COXSWAIN_ENDPOINT=HOST:PORT, or by use(); with
// COXSWAIN_REFERENCE=1 it is a stock etcd 3.4, which has not all that later versions promise.

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kvstore/proto/rpc.pb.h"

namespace net {
class GrpcClientStream;
}

namespace contract {

namespace pb = etcdserverpb;

// Calls and streams that begin from now on go to this server, with a user's token.
void use(const std::string& endpoint, const std::string& token = {});

// A call that is on its way; the serialized answer.
std::future<base::Result<std::string>> call_later(const std::string& path,
                                                  const std::string& request);
// One call; the serialized answer.
base::Result<std::string> call_bytes(const std::string& path, const std::string& request);
// All messages of a streamed answer.
base::Result<std::vector<std::string>> call_stream(const std::string& path,
                                                   const std::string& request);

template <class Response, class Request>
base::Result<Response> call(const std::string& path, const Request& request) {
    TRY(const std::string bytes, call_bytes("/etcdserverpb." + path, request.SerializeAsString()));
    Response out;
    EXPECT_TRUE(out.ParseFromString(bytes));
    return out;
}

// A stream of messages both ways.
class Stream {
  public:
    explicit Stream(const std::string& path);
    ~Stream();
    void send(const google::protobuf::Message& message);
    // The next message; nothing when none comes within `wait_ms`, or the stream ended.
    std::optional<std::string> next(int wait_ms = 5000);

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

class WatchStream {
  public:
    void create(const pb::WatchCreateRequest& request);
    void create(const std::string& key, const std::string& end = "", std::int64_t revision = 0,
                bool previous = false);
    void cancel(std::int64_t id);
    void ask_for_progress();
    // Fails the test and answers an empty one when nothing comes.
    pb::WatchResponse next(int wait_ms = 5000);
    // That nothing comes.
    bool silent(int wait_ms = 300);

  private:
    Stream stream_{"/etcdserverpb.Watch/Watch"};
};

bool is_reference();
// Keys of this test alone, and their end.
class ContractTest : public testing::Test {
  protected:
    ContractTest();

    std::string key(const std::string& name) const { return prefix_ + name; }
    std::string end() const;

    std::int64_t put(const std::string& name, const std::string& value, std::int64_t lease = 0);
    pb::DeleteRangeResponse remove(const std::string& name, const std::string& end_name = "");
    base::Result<pb::RangeResponse> range(const pb::RangeRequest& request) const;
    pb::RangeRequest all() const;
    // "a=1 b=2" of the keys' names and values.
    std::string show(const pb::RangeRequest& request) const;
    std::string show() const { return show(all()); }
    std::int64_t revision() const;
    void compact(std::int64_t revision);
    std::string names(const pb::WatchResponse& response) const;

    std::string prefix_;
};

pb::Compare compare(const std::string& key, pb::Compare::CompareTarget target,
                    pb::Compare::CompareResult result, std::int64_t number);

// The error's code and text.
template <class T>
std::string error_of(const base::Result<T>& result) {
    if (result) return "OK";
    return std::string(base::code_name(result.error().code)) + ": " + result.error().message;
}

}  // namespace contract
