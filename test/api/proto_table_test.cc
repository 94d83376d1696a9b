// Holds every message, field, number, type and label of the .proto files against the table of
// facts.

#include <gtest/gtest.h>

#include <map>

#include "test/api/all_messages.h"

namespace api_test {
namespace {

std::string type_text(const FieldDescriptor* f) {
    if (f->message_type() != nullptr) return "." + f->message_type()->full_name();
    return f->type_name();
}

TEST(ProtoTable, EveryFieldIsAsTheFactsSay) {
    std::size_t checked = 0;
    for (const auto& row : facts("kube-fields.tsv")) {
        const std::string message = row[0] + "." + row[1];
        SCOPED_TRACE(message + "." + row[5]);
        const auto* d =
            google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(message);
        ASSERT_NE(d, nullptr);
        const auto* f = d->FindFieldByNumber(std::stoi(row[2]));
        ASSERT_NE(f, nullptr);
        EXPECT_EQ(f->name(), row[5]);
        if (row[3] == "map") {
            ASSERT_TRUE(f->is_map());
            EXPECT_EQ("map<" + type_text(f->message_type()->map_key()) + "," +
                          type_text(f->message_type()->map_value()) + ">",
                      row[4]);
        } else {
            EXPECT_FALSE(f->is_map());
            EXPECT_EQ(f->is_repeated() ? "repeated" : "optional", row[3]);
            EXPECT_EQ(type_text(f), row[4]);
        }
        ++checked;
    }
    EXPECT_GT(checked, 2300U);
}

TEST(ProtoTable, NoMessageHasFieldsThatTheFactsDoNotHave) {
    std::map<std::string, int> counts;
    for (const auto& row : facts("kube-fields.tsv"))
        ++counts[row[0] + "." + row[1]];
    const auto messages = all_messages();
    EXPECT_GT(messages.size(), 600U);
    for (const auto* d : messages)
        EXPECT_EQ(d->field_count(), counts[d->full_name()]) << d->full_name();
    for (const auto& [name, count] : counts)
        EXPECT_NE(google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(name),
                  nullptr)
            << name;
}

TEST(ProtoTable, JsonNamesAndTypeMetaAreAsTheFactsSay) {
    for (const auto& row : facts("kube-fields.tsv")) {
        const auto* d = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
            row[0] + "." + row[1]);
        ASSERT_NE(d, nullptr);
        const auto& info = api::codec::type_info(d);
        if (info.form != api::codec::Form::kObject || d->name() == "Unknown") continue;
        const std::string& json = row[7];
        if (json.empty() || json == "-" || row[9] == "1") continue;
        const auto it = info.slots.find(json);
        ASSERT_NE(it, info.slots.end()) << d->full_name() << " " << json;
        ASSERT_NE(it->second.field, nullptr) << d->full_name() << " " << json;
        EXPECT_EQ(it->second.field->field->number(), std::stoi(row[2]))
            << d->full_name() << " " << json;
    }
    for (const auto& row : facts("kube-messages.tsv")) {
        const auto* d = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
            row[0] + "." + row[1]);
        if (d == nullptr) continue;
        EXPECT_EQ(api::codec::type_info(d).type_meta, row[4] == "1") << d->full_name();
    }
}

}  // namespace
}  // namespace api_test
