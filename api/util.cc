#include "api/util.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/message_differencer.h>

#include "base/random.h"

namespace api {
namespace {
constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
}

std::chrono::system_clock::time_point wall_now() {
    return std::chrono::system_clock::now();
}

bool same(const Message& a, const Message& b) {
    return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

bool equivalent(const Message& a, const Message& b) {
    return google::protobuf::util::MessageDifferencer::Equivalent(a, b);
}

std::string stable_bytes(const Message& message) {
    std::string out;
    {
        google::protobuf::io::StringOutputStream stream(&out);
        google::protobuf::io::CodedOutputStream coded(&stream);
        coded.SetSerializationDeterministic(true);
        message.SerializePartialToCodedStream(&coded);
    }
    return out;
}

std::string safe_hash(std::string_view bytes) {
    std::uint32_t hash = 2166136261U;
    for (const char c : bytes) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 16777619U;
    }
    std::string out;
    for (const char digit : std::to_string(hash))
        out += kAlphabet[static_cast<std::size_t>(digit) % kAlphabet.size()];
    return out;
}

std::string random_suffix(int length) {
    base::Random random(base::entropy64());
    std::string out;
    for (int i = 0; i < length; ++i)
        out += kAlphabet[random.below(kAlphabet.size())];
    return out;
}

}  // namespace api
