// The main loop of gemm_kernel: a piece of work through the ring of stages.
//
// Every warp fills stages with cp.async and multiplies its share of them. A stage takes one
// cp.async group of each thread; groups are also closed where there is nothing left to load, so
// that "all but the latest num_stages - 2" always means "the next stage has landed".
//
// Invariant at the begin of step i (stage i % num_stages): stage i has landed for all threads, what
// its first units read is in registers, stages i + 1 to i + num_stages - 2 have been started, and
// nobody reads stage i - 1 any more: that is the one refilled. The barrier stands where a warp has
// loaded all that it reads of stage i and still has units of it to multiply.
#pragma once

#include "cuda/device/load_stage.h"
#include "cuda/device/warp_tile.h"
#include "cuda/ptx/cp_async.h"

namespace sparse_gemm::cuda::sm80 {

template <CudaTile kTile, Multiply kMultiply, BLoad kBLoad>
class MainLoop {
  using Warp = WarpTile<kTile, kMultiply>;
  using Loader = StageLoader<kTile, kMultiply, kBLoad>;
  static constexpr int kStageBytes = StageLayout<kTile, kMultiply>::kStageBytes;
  static constexpr int kStages = kTile.num_stages;
  static constexpr int kBarrierUnit = Warp::kUnits - Warp::kAhead;

 public:
  __device__ MainLoop(Loader& loader, Warp& warp_tile) : loader_(loader), warp_tile_(warp_tile) {}

  // Adds the products of `steps` stages. The ring is free before, and after the next barrier.
  __device__ __forceinline__ void run(int steps) {
    if (steps == 0) return;
    fill_ring(steps);
    if constexpr (kBLoad == BLoad::kAligned) {
      if (loader_.num_full() >= kStages) steps = all_rounds(steps);
    }
    int stage = 0;
#pragma unroll 1
    for (; steps > 0; --steps) {
      const int next = stage + kStageBytes == kStages * kStageBytes ? 0 : stage + kStageBytes;
      any_step(stage, next, steps);
      stage = next;
    }
  }

 private:
  __device__ __forceinline__ void fill_ring(int steps) {
#pragma unroll 1
    for (int stage = 0; stage < kStages - 1; ++stage) {
      if (stage < steps) load_current(stage * kStageBytes);
      ptx::cp_async_commit_group();
    }
    wait_for_next();
    warp_tile_.load_first(0);
  }

  // Rounds as long as there are whole stages to refill the ring with; returns how many of `steps`
  // are left. One counter counts both.
  __device__ __forceinline__ int all_rounds(int steps) {
    const bool is_last_ragged = steps - loader_.num_full() >= kStages;
    do {
      round();
    } while (loader_.num_full() >= kStages);
    return loader_.num_full() + kStages - 1 + (is_last_ragged ? 1 : 0);
  }

  // All stages of the ring once: step by step the ring is refilled with whole stages, so that every
  // address is a register and a constant.
  __device__ __forceinline__ void round() {
    static_for<kStages>([&](auto at) {
      constexpr int kRefilled = (at + kStages - 1) % kStages;
      warp_tile_.multiply_stage(at * kStageBytes, (at + 1) % kStages * kStageBytes, true,
                                [&](auto unit) {
                                  static_for<Loader::kCopies>([&](auto idx) {
                                    if constexpr (unit_of_copy(idx) == unit) {
                                      loader_.copy(idx, at, kRefilled * kStageBytes);
                                    }
                                  });
                                  if constexpr (unit == kBarrierUnit) {
                                    ptx::cp_async_commit_group();
                                    wait_for_next();
                                  }
                                });
    });
    loader_.advance(kStages);
  }

  // Any stage of the ring, anything or nothing left to load; `steps` are left, this one included.
  __device__ __forceinline__ void any_step(int stage, int next, int steps) {
    const int refilled = stage == 0 ? (kStages - 1) * kStageBytes : stage - kStageBytes;
    const bool has_next = steps > 1;
    warp_tile_.multiply_stage(stage, next, has_next, [&](auto unit) {
      if constexpr (unit == 0) {
        if (steps >= kStages) load_current(refilled);
        ptx::cp_async_commit_group();
      } else if constexpr (unit == kBarrierUnit) {
        if (has_next) wait_for_next();
      }
    });
  }

  // A stage's copies are spread over the units before the barrier, but in a few groups: between
  // other accesses to shared memory and a group of copies ptxas puts three instructions.
  static constexpr int unit_of_copy(int idx) {
    constexpr int kMaxGroup = 8;
    constexpr int kGroups = (Loader::kCopies + kMaxGroup - 1) / kMaxGroup;
    return idx * kGroups / Loader::kCopies * kBarrierUnit / kGroups;
  }

  __device__ __forceinline__ void load_current(int stage) {
    loader_.load(stage);
    loader_.advance(1);
  }

  __device__ __forceinline__ static void wait_for_next() {
    ptx::cp_async_wait_group<kStages - 2>();
    __syncthreads();
  }

  Loader& loader_;
  Warp& warp_tile_;
};

}  // namespace sparse_gemm::cuda::sm80
