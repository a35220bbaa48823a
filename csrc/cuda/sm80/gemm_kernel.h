// GEMM on sm_80 and later: D[M,N] = epilogue(A[M,K] @ B[K,N]), A 2:4 sparse and packed, with
// mma.sp.m16n8k32 and float accumulators.
//
// One CTA computes one tile of D, kTile.m by kTile.n, over all of K. All warps do the same: fill
// stages with cp.async, then multiply their share of the tile out of shared memory.
//
// Pipeline: a ring of kTile.num_stages stages (device/stage_layout.h), each with kTile.k of K. One
// cp.async group a stage; groups are also closed where there is nothing left to load, so that
// "all but the latest num_stages - 2" always means "this stage has landed".
//
// Invariant at the top of iteration i: stages i to i + num_stages - 2 have been started, and every
// warp has finished reading stage i - 1 once it has passed the barrier: that is the one refilled.
#pragma once

#include <cstdint>

#include "core/plan.h"
#include "core/problem.h"
#include "cuda/device/load_stage.h"
#include "cuda/device/tile_scheduler.h"
#include "cuda/device/warp_tile.h"
#include "cuda/epilogue/store_tile.h"
#include "cuda/ptx/cp_async.h"
#include "cuda/ptx/shared_address.h"
#include "cuda/sm80/configs.h"

namespace sparse_gemm::cuda::sm80 {

// `kRow` is a row of kConfigs: nvcc 13.0 cannot write a class-type argument of a kernel in its
// stubs.
template <int kRow, DType kDType, BLoad kBLoad>
__global__ __launch_bounds__(kTileOf<kRow>.num_threads(), kTileOf<kRow>.ctas_per_sm)  //
    void gemm_kernel(const __grid_constant__ Problem problem) {
  constexpr CudaTile kTile = kTileOf<kRow>;
  using Layout = StageLayout<kTile>;
  constexpr int kStages = kTile.num_stages;
  extern __shared__ __align__(128) char smem[];

  const int thread = static_cast<int>(threadIdx.x);
  const TileCoord tile = tile_at(blockIdx.x, static_cast<uint32_t>(ceil_div(problem.m, kTile.m)),
                                 static_cast<uint32_t>(ceil_div(problem.n, kTile.n)));
  const uint32_t smem_address = ptx::shared_address(smem);
  const StageLoader<kTile, kBLoad> loader(problem, tile, thread);
  WarpTile<kTile, kDType> warp_tile(thread);

  const int64_t num_k_tiles = format::num_packed_k_tiles(problem.k);
  const auto load_stage = [&](int64_t k_tile, int stage) {
    const int offset = stage * Layout::kStageBytes;
    if (k_tile < num_k_tiles) loader.load(k_tile, smem + offset, smem_address + offset);
    ptx::cp_async_commit_group();
  };
  const auto next = [](int stage) { return stage + 1 == kStages ? 0 : stage + 1; };

  for (int stage = 0; stage < kStages - 1; ++stage) load_stage(stage, stage);

  int read_stage = 0;
  int write_stage = kStages - 1;
  for (int64_t k_tile = 0; k_tile < num_k_tiles; ++k_tile) {
    ptx::cp_async_wait_group<kStages - 2>();
    __syncthreads();
    load_stage(k_tile + kStages - 1, write_stage);
    const int offset = read_stage * Layout::kStageBytes;
    warp_tile.multiply_stage(smem + offset, smem_address + offset);
    read_stage = next(read_stage);
    write_stage = next(write_stage);
  }

  __syncthreads();  // the ring's memory takes the accumulators now
  store_tile(problem, tile, warp_tile, reinterpret_cast<float*>(smem), thread);
}

}  // namespace sparse_gemm::cuda::sm80
