// The sixteen barriers of a CTA (bar.*, barrier.*).
//
// A warp arrives as a whole, once all its threads that have not exited execute a barrier
// instruction of the same id; it counts 32 threads. A barrier without a count waits for all warps
// that have not ended.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "execute/launch.h"

namespace emulator {

inline constexpr int kNumBarriers = 16;

struct CtaBarriers {
  struct Barrier {
    int arrived = 0;       // threads, in whole warps
    int expected = 0;      // as the instruction says; 0: all
    uint32_t num_set = 0;  // predicates of a reduction that were true
    uint32_t num_predicates = 0;
    std::vector<Warp*> waiting;
    SyncClock clock;
  };
  std::array<Barrier, kNumBarriers> barriers;
};

// The lanes of a warp that have come to one barrier through one instruction.
struct BarrierArrival {
  const Op* op;
  LaneMask lanes;
};

// The id that the lanes at `op` name.
int barrier_id(Warp& warp, const Op& op, LaneMask lanes);

// `warp` arrives with all its lanes. Where that completes the barrier, or where it need not wait,
// WarpControl::pass_barrier lets it go on.
void arrive(Warp& warp, std::span<const BarrierArrival> arrivals);

// What a reduction gives to lanes that waited.
void store_reduction(Warp& warp, const Op& op, LaneMask lanes, uint32_t num_set,
                     uint32_t num_predicates);

// To be called when a warp has ended: those that wait for all may be all now.
void complete_barriers(Cta& cta);

// "barrier 1, where 64 of 96 threads have arrived"
std::string describe_barrier(const Cta& cta, int id);

}  // namespace emulator
