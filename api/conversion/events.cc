// events.k8s.io/v1 gave core/v1's Event other names; nothing is lost either way.
#include "api/conversion/pairs.h"

namespace api::conversion {
namespace {

namespace core = k8s::io::api::core::v1;
namespace events = k8s::io::api::events::v1;

template <class From, class To>
void convert_series(const From& from, To* to) {
    if (!from.has_series()) return;
    auto* series = to->mutable_series();
    if (from.series().has_count()) series->set_count(from.series().count());
    if (from.series().has_lastobservedtime())
        *series->mutable_lastobservedtime() = from.series().lastobservedtime();
}

// What both call by the same name.
template <class From, class To>
void convert_common(const From& from, To* to) {
    to->Clear();
    if (from.has_metadata()) *to->mutable_metadata() = from.metadata();
    if (from.has_eventtime()) *to->mutable_eventtime() = from.eventtime();
    if (from.has_reportinginstance()) to->set_reportinginstance(from.reportinginstance());
    if (from.has_action()) to->set_action(from.action());
    if (from.has_reason()) to->set_reason(from.reason());
    if (from.has_type()) to->set_type(from.type());
    if (from.has_related()) *to->mutable_related() = from.related();
    convert_series(from, to);
}

}  // namespace

void convert(const core::Event& from, events::Event* to) {
    convert_common(from, to);
    if (from.has_reportingcomponent()) to->set_reportingcontroller(from.reportingcomponent());
    if (from.has_involvedobject()) *to->mutable_regarding() = from.involvedobject();
    if (from.has_message()) to->set_note(from.message());
    if (from.has_source()) *to->mutable_deprecatedsource() = from.source();
    if (from.has_firsttimestamp()) *to->mutable_deprecatedfirsttimestamp() = from.firsttimestamp();
    if (from.has_lasttimestamp()) *to->mutable_deprecatedlasttimestamp() = from.lasttimestamp();
    if (from.has_count()) to->set_deprecatedcount(from.count());
}

void convert(const events::Event& from, core::Event* to) {
    convert_common(from, to);
    if (from.has_reportingcontroller()) to->set_reportingcomponent(from.reportingcontroller());
    if (from.has_regarding()) *to->mutable_involvedobject() = from.regarding();
    if (from.has_note()) to->set_message(from.note());
    if (from.has_deprecatedsource()) *to->mutable_source() = from.deprecatedsource();
    if (from.has_deprecatedfirsttimestamp())
        *to->mutable_firsttimestamp() = from.deprecatedfirsttimestamp();
    if (from.has_deprecatedlasttimestamp())
        *to->mutable_lasttimestamp() = from.deprecatedlasttimestamp();
    if (from.has_deprecatedcount()) to->set_count(from.deprecatedcount());
}

}  // namespace api::conversion
