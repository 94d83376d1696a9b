// KV/RangeStream: a range of any size in bounded memory. What is read ahead is bounded by what the
// client leaves unread.

#include "base/bytes.h"
#include "kvstore/mvcc/range_reader.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/grpc_methods.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

constexpr std::size_t kChunkBytes = 256 << 10;
constexpr std::size_t kUnreadBytes = 1 << 20;
constexpr std::int64_t kRecordsAStep = 4;

// RangeStreamResponse's only field around a serialized RangeResponse.
std::string chunk_of(std::string_view range_response) {
    constexpr char kRangeResponseTag = 1 << 3 | 2;
    std::string out(net::kGrpcPrefix, '\0');
    out.push_back(kRangeResponseTag);
    base::append_varint(&out, range_response.size());
    out += range_response;
    net::grpc_fill_prefix(&out);
    return out;
}

base::Awaitable<bool> read_chunk(Node* node, std::shared_ptr<RangeReader> reader) {
    auto start = [node, reader](base::UniqueFunction<void(bool)> resolve) {
        auto more = std::make_shared<bool>(false);
        node->machine().in_background(
            [reader, more] {
                do {
                    *more = reader->step(kRecordsAStep);
                } while (*more && reader->held_bytes() < kChunkBytes);
            },
            [more, r = std::move(resolve)]() mutable { r(*more); });
    };
    co_return co_await base::suspend<bool>(std::move(start));
}

base::Awaitable<void> range_stream(Node* node, std::shared_ptr<Gate> gate,
                                   std::shared_ptr<net::GrpcStream> stream) {
    auto caller = co_await gate->caller(stream);
    if (!caller) co_return stream->finish(caller.error());
    auto message = co_await stream->read();
    if (!message) co_return stream->finish(message.error());
    pb::RangeRequest request;
    if (!*message || !request.ParseFromString(**message))
        co_return stream->finish(base::invalid_argument("the request's message cannot be read"));
    if (!is_plain(request))
        co_return stream->finish(base::unimplemented(
            "etcdserver: RangeStream has no custom sort and no filters by revision"));
    auto start = [node, r = std::move(request), c = std::move(*caller)](
                     base::UniqueFunction<void(base::Result<OpenRange>)> resolve) mutable {
        node->open_range(std::move(r), std::move(resolve), std::move(c));
    };
    auto range = co_await base::suspend<base::Result<OpenRange>>(std::move(start));
    if (!range) co_return stream->finish(range.error());
    for (;;) {
        const bool more = co_await read_chunk(node, range->reader);
        std::string body;
        for (const auto& piece : range->reader->take_pieces())
            body += piece;
        if (!more) {
            pb::RangeResponse last;
            *last.mutable_header() = range->header;
            last.set_count(range->reader->count());
            last.set_more(range->reader->more());
            body += last.SerializeAsString();
        }
        if (!body.empty())
            if (auto sent = stream->write_frame(net::share(chunk_of(body))); !sent)
                co_return stream->finish(sent.error());
        if (!more) co_return stream->finish();
        if (stream->queued_bytes() > kUnreadBytes)
            if (auto drained = co_await stream->drained(kChunkBytes); !drained) co_return;
    }
}

}  // namespace

void add_range_stream(GatedService& service, Node& node) {
    service.streaming("/etcdserverpb.KV/RangeStream",
                      [&node, gate = service.gate](std::shared_ptr<net::GrpcStream> stream) {
                          return range_stream(&node, gate, std::move(stream));
                      });
}

}  // namespace kvstore
