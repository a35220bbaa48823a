// cp.async of one warp: what is in flight, and which waits cover it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "execute/program.h"
#include "memory/clocks.h"

namespace emulator {

struct WarpCopies {
  struct Copy {
    const Op* op = nullptr;
    LaneMask lanes = 0;  // not yet waited for
    int bytes = 0;       // of the destination
    bool landed = false;
    uint64_t due = 0;  // when it lands, if no wait comes first
    uint64_t sequence = 0;
    uint32_t offset[kWarpLanes];          // in shared memory
    const std::byte* source[kWarpLanes];  // as the host sees it
    uint8_t source_bytes[kWarpLanes];     // the rest is filled with zeros
    uint32_t group[kWarpLanes];           // the lane's groups committed before it
  };

  std::vector<Copy> in_flight;
  alignas(64) uint32_t committed[kWarpLanes] = {};  // a lane's groups so far
  uint64_t ticks = 0;  // counts the warp's cp.async instructions: what landing times are drawn in
  uint64_t num_issued = 0;
};

// Of cp.async.mbarrier.arrive: happens once the copies that these lanes had issued have landed.
struct AsyncArrival {
  uint64_t barrier;  // offset in shared memory
  Warp* warp;
  LaneMask lanes;
  uint64_t num_issued;  // copies before this one are covered
  uint32_t time;        // of the warp when it asked
  SyncClock released;   // what it had done by then
};

// The copies of `lanes` issued before `num_issued` are complete as of `time`.
void finish_copies(Warp& warp, LaneMask lanes, uint64_t num_issued, uint32_t time);

}  // namespace emulator
