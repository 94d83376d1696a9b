#pragma once
// Label and field selectors: parsed once, matched often. Values; any thread. Error texts are
// upstream's.

#include <google/protobuf/map.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace k8s::io::apimachinery::pkg::apis::meta::v1 {
class LabelSelector;
}

namespace api {

using Labels = google::protobuf::Map<std::string, std::string>;

struct LabelRequirement {
    enum class Op { kIn, kNotIn, kExists, kDoesNotExist, kEquals, kNotEquals, kGreater, kLess };
    std::string key;
    Op op = Op::kExists;
    std::vector<std::string> values;  // sorted

    // `value` is null when the label is missing.
    bool matches(const std::string* value) const;
};

class LabelSelector {
  public:
    LabelSelector() = default;  // matches everything
    static LabelSelector nothing();
    // `a in (b,c),!d,e!=f,g`. InvalidArgument.
    static base::Result<LabelSelector> parse(std::string_view text);
    // An empty one matches everything. InvalidArgument for operators, keys or values that are none.
    static base::Result<LabelSelector> from(
        const ::k8s::io::apimachinery::pkg::apis::meta::v1::LabelSelector& selector);
    // All of these labels, as a Service or a ReplicationController selects; everything when empty.
    static LabelSelector from_set(const Labels& labels);

    bool empty() const { return requirements_.empty() && !nothing_; }
    bool matches(const Labels& labels) const;
    bool matches(const std::map<std::string, std::string>& labels) const;
    // As parse() reads it, requirements sorted by key.
    std::string to_string() const;
    const std::vector<LabelRequirement>& requirements() const { return requirements_; }

  private:
    std::vector<LabelRequirement> requirements_;
    bool nothing_ = false;
};

class FieldSelector {
  public:
    struct Term {
        std::string field;
        bool equal = true;
        std::string value;
    };
    FieldSelector() = default;  // matches everything
    // `a=b,c==d,e!=f`, with `\,`, `\=` and `\\` in values. InvalidArgument.
    static base::Result<FieldSelector> parse(std::string_view text);

    bool empty() const { return terms_.empty(); }
    std::vector<Term>& terms() { return terms_; }
    const std::vector<Term>& terms() const { return terms_; }
    // `look_up(field)` gives the object's value of a field, "" when unset.
    bool matches(const std::function<std::string(std::string_view)>& look_up) const;
    // The value that `field` must have; null when the selector leaves it open.
    const std::string* required(std::string_view field) const;
    std::string to_string() const;

  private:
    std::vector<Term> terms_;
};

// Labels as errors show them: {"a":"b","c":"d"}.
std::string labels_text(const Labels& labels);

}  // namespace api
