#include "memory/clocks.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace emulator {

Clocks::Clocks(int num_warps) : num_warps_(num_warps), clocks_(num_warps), horizons_(num_warps) {
  // Time 0 is before every access, so that a stamp of zero can mean "never".
  for (int warp = 0; warp < num_warps; ++warp) clocks_[warp].entries[warp] = 1;
  for (int warp = 0; warp < num_warps; ++warp) update_horizon(warp);
}

void Clocks::release(int warp, SyncClock& object) {
  SyncClock& clock = clocks_[warp];
  if (clock.entries[warp] >= kLastTime) {
    throw std::length_error("a CTA synchronised more often than the emulator can count");
  }
  ++clock.entries[warp];
  object.merge(clock);
}

void Clocks::acquire(int warp, const SyncClock& object) {
  SyncClock& clock = clocks_[warp];
  clock.merge(object);
  // A warp may skip times. After a barrier all warps then stand at the same time, which keeps
  // horizons close to now and the readers of a byte in one mask.
  clock.entries[warp] = *std::max_element(clock.entries.begin(), clock.entries.end());
  update_horizon(warp);
}

void Clocks::update_horizon(int warp) {
  uint32_t horizon = kLastTime;
  for (int other = 0; other < num_warps_; ++other) {
    if (other != warp) horizon = std::min(horizon, clocks_[warp].entries[other]);
  }
  horizons_[warp] = horizon;
}

}  // namespace emulator
