// Who runs when: the warps of a CTA in an order drawn from the seed, the CTAs of a grid in turn.
#pragma once

#include <cstdint>

#include "execute/launch.h"
#include "report/findings.h"

namespace emulator {

enum class Progress : uint8_t { kDone, kSetAside, kFailed };

// Runs the warps of `cta` until all have ended, about `budget` instructions are used up, or the
// launch has failed (Cta::failure says why). A deadlock is a finding and a failure.
Progress run_slice(Cta& cta, int64_t budget);

// "CTA (0,0,0):" and a line for what each of its warps does.
std::string describe_warps(const Cta& cta);
// Where the first of them stands that has not ended.
FindingSite site_of(const Cta& cta);

}  // namespace emulator
