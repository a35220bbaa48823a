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

#include <utility>

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
    fill_ring(steps);
    if constexpr (kBLoad == BLoad::kAligned) {
      while (round(std::make_integer_sequence<int, kStages>{}, steps)) {
        steps -= kStages;
        loader_.advance(kStages);
      }
    } else {
      for (int stage = 0; step(stage, steps); --steps) stage = next_of(stage);
    }
  }

 private:
  static constexpr int next_of(int stage) {
    return stage + kStageBytes == kStages * kStageBytes ? 0 : stage + kStageBytes;
  }

  // A ragged stage comes first, before registers are needed for accumulators.
  __device__ __forceinline__ void fill_ring(int steps) {
    const bool has_ragged = loader_.num_full() < steps;
    if (has_ragged) loader_.load_ragged(0);
    if (steps == 0) loader_.clear(0);
#pragma unroll 1
    for (int stage = 0; stage < kStages - 1; ++stage) {
      if ((stage > 0 || !has_ragged) && stage < steps) {
        loader_.load(stage * kStageBytes);
        loader_.advance(1);
      }
      ptx::cp_async_commit_group();
    }
    wait_for_next();
    warp_tile_.load_first(0);
  }

  // All stages of the ring once, unrolled: every address is a register and a constant. `steps` are
  // left at its begin. False if they are done at its end.
  template <int... kStage>
  __device__ __forceinline__ bool round(std::integer_sequence<int, kStage...>, int steps) {
    return (step_of_round<kStage>(steps) && ...);
  }

  template <int kStage>
  __device__ __forceinline__ bool step_of_round(int steps) {
    constexpr int kRefilled = (kStage + kStages - 1) % kStages * kStageBytes;
    const bool has_refill = steps > kStage + kStages - 1;
    warp_tile_.multiply_begin(kStage * kStageBytes, [&](auto unit) {
      static_for<Loader::kCopies>([&](auto idx) {
        if constexpr (unit_of_copy(idx) == unit) loader_.copy(has_refill, idx, kStage, kRefilled);
      });
    });
    return finish_step(next_of(kStage * kStageBytes), steps > kStage + 1);
  }

  // Any stage of the ring. False if it is the last one.
  __device__ __forceinline__ bool step(int stage, int steps) {
    warp_tile_.multiply_begin(stage, [&](auto unit) {
      if (unit == 0 && steps > kStages - 1) {
        loader_.load(stage == 0 ? (kStages - 1) * kStageBytes : stage - kStageBytes);
        loader_.advance(1);
      }
    });
    return finish_step(next_of(stage), steps > 1);
  }

  __device__ __forceinline__ bool finish_step(int next, bool has_next) {
    if (!has_next) {
      warp_tile_.multiply_end();
      return false;
    }
    ptx::cp_async_commit_group();
    wait_for_next();
    warp_tile_.multiply_end(next);
    return true;
  }

  // A stage's copies are spread over the units before the barrier, but in a few groups: between
  // other accesses to shared memory and a group of copies ptxas puts three instructions.
  static constexpr int unit_of_copy(int idx) {
    constexpr int kMaxGroup = 8;
    constexpr int kGroups = (Loader::kCopies + kMaxGroup - 1) / kMaxGroup;
    return idx * kGroups / Loader::kCopies * kBarrierUnit / kGroups;
  }

  __device__ __forceinline__ static void wait_for_next() {
    ptx::cp_async_wait_group<kStages - 2>();
    __syncthreads();
  }

  Loader& loader_;
  Warp& warp_tile_;
};

}  // namespace sparse_gemm::cuda::sm80
