#include "memory/clocks.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace emulator {

Clocks::Clocks(int num_warps)
    : num_warps_(num_warps), clocks_(num_warps), horizons_(num_warps) {
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
  for (int i = 0; i < kMaxWarps; ++i) {
    object.entries[i] = std::max(object.entries[i], clock.entries[i]);
  }
}

void Clocks::acquire(int warp, const SyncClock& object) {
  SyncClock& clock = clocks_[warp];
  uint32_t latest = 0;
  for (int i = 0; i < kMaxWarps; ++i) {
    clock.entries[i] = std::max(clock.entries[i], object.entries[i]);
    latest = std::max(latest, clock.entries[i]);
  }
  // A warp may skip times. After a barrier all warps then stand at the same time, which keeps
  // horizons close to now and the readers of a byte in one mask.
  clock.entries[warp] = latest;
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
