#include "test/api/all_messages.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace api_test {

using google::protobuf::DescriptorPool;
namespace codec = ::api::codec;

std::vector<const Descriptor*> all_messages() {
    std::vector<const Descriptor*> out;
    for (const auto& row : facts("kube-messages.tsv")) {
        const auto* d =
            DescriptorPool::generated_pool()->FindMessageTypeByName(row[0] + "." + row[1]);
        if (d != nullptr) out.push_back(d);
    }
    std::sort(out.begin(), out.end(), [](const Descriptor* a, const Descriptor* b) {
        return a->full_name() < b->full_name();
    });
    return out;
}

std::unique_ptr<Message> make(const Descriptor* descriptor) {
    return std::unique_ptr<Message>(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
}

namespace {

// True when the form was one that has a value of its own.
bool fill_special(Message* m, const codec::TypeInfo& info) {
    const auto& r = *m->GetReflection();
    const auto* first = info.descriptor->field_count() > 0 ? info.descriptor->field(0) : nullptr;
    switch (info.form) {
        case codec::Form::kQuantity:
            r.SetString(m, first, "1500m");
            return true;
        case codec::Form::kTime:
            r.SetInt64(m, first, 1'700'000'000);
            return true;
        case codec::Form::kMicroTime:
            r.SetInt64(m, first, 1'700'000'000);
            r.SetInt32(m, info.descriptor->field(1), 123'456'000);
            return true;
        case codec::Form::kDuration:
            r.SetInt64(m, first, 90'500'000'000);
            return true;
        case codec::Form::kIntOrString:
            r.SetInt64(m, first, 1);
            r.SetString(m, info.descriptor->field(2), "25%");
            return true;
        case codec::Form::kRawJson:
            r.SetString(m, first, R"({"a":[1,2.5,"x"],"b":null})");
            return true;
        case codec::Form::kSchemaOrBool:
            r.SetBool(m, first, true);
            return true;
        case codec::Form::kSchemaOrStringArray:
            r.AddString(m, info.descriptor->field(1), "one");
            return true;
        default:
            return false;
    }
}

}  // namespace

void fill(Message* m, int depth) {
    const auto& info = codec::type_info(m->GetDescriptor());
    if (fill_special(m, info)) return;
    // A schema holds schemas in ten ways.
    if (info.descriptor->name() == "JSONSchemaProps") depth = std::min(depth, 1);
    const auto& r = *m->GetReflection();
    if (info.form == codec::Form::kSchemaOrArray) {
        // An array of one: an empty schema alone would be read as unset.
        auto* one = r.AddMessage(m, info.descriptor->field(1));
        if (depth > 0) fill(one, depth - 1);
        return;
    }
    for (const auto& f : info) {
        const std::string text = f.type == FieldDescriptor::TYPE_BYTES
                                     ? std::string("\x00\xff\"bytes", 8)
                                     : "<" + f.field->name() + "> \"é\\\n";
        if (f.message != nullptr && depth == 0) continue;
        if (f.map) {
            for (const char* key : {"b", "a.b/c"}) {
                bool added = false;
                auto v = codec::map_value(m, f.field, key, &added);
                if (f.message != nullptr)
                    fill(v.MutableMessageValue(), depth - 1);
                else
                    v.SetStringValue(text);
            }
            continue;
        }
        const bool many = f.repeated;
        switch (f.cpp_type) {
            case FieldDescriptor::CPPTYPE_MESSAGE:
                fill(many ? r.AddMessage(m, f.field) : r.MutableMessage(m, f.field), depth - 1);
                break;
            case FieldDescriptor::CPPTYPE_STRING:
                many ? r.AddString(m, f.field, text) : r.SetString(m, f.field, text);
                break;
            case FieldDescriptor::CPPTYPE_BOOL:
                many ? r.AddBool(m, f.field, true) : r.SetBool(m, f.field, true);
                break;
            case FieldDescriptor::CPPTYPE_INT32:
                many ? r.AddInt32(m, f.field, -7) : r.SetInt32(m, f.field, f.field->number());
                break;
            case FieldDescriptor::CPPTYPE_INT64:
                many ? r.AddInt64(m, f.field, INT64_MIN) : r.SetInt64(m, f.field, INT64_MAX - 1);
                break;
            case FieldDescriptor::CPPTYPE_DOUBLE:
                many ? r.AddDouble(m, f.field, 0.5) : r.SetDouble(m, f.field, -1.25e-9);
                break;
            default:
                break;
        }
    }
}

std::vector<std::vector<std::string>> facts(const std::string& name) {
    std::ifstream in(std::string(SOURCE_ROOT) + "/tools/gen/facts/" + name);
    std::vector<std::vector<std::string>> out;
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) {
        std::vector<std::string> cells(1);
        for (const char c : line) {
            if (c == '\t')
                cells.emplace_back();
            else
                cells.back() += c;
        }
        cells.resize(32);
        out.push_back(std::move(cells));
    }
    return out;
}

}  // namespace api_test
