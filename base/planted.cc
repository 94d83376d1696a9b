#include "base/planted.h"

#ifdef COXSWAIN_PLANTED_BUGS

namespace base {
namespace {
PlantedBug g_planted = PlantedBug::kNone;
}  // namespace

bool planted(PlantedBug bug) {
    return bug == g_planted;
}

bool plant(std::string_view name) {
    for (const auto& known : kPlantedBugs)
        if (known.name == name) {
            g_planted = known.bug;
            return true;
        }
    return false;
}

}  // namespace base

#endif
