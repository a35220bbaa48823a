// GEMM on sm_80 and later: D[M,N] = epilogue(A[M,K] @ B[K,N]), A sparse and packed, with mma.sp.
//
// A CTA computes pieces of work (device/work.h), each a tile of D, kTile.m by kTile.n, over a range
// of K. All warps do the same: fill a ring of stages in shared memory with cp.async, and multiply
// their share of the tile out of it (sm80/main_loop.h). Then the same memory takes the accumulators
// on their way through the epilogue, or they go to the workspace (epilogue/finish_tile.h).
#pragma once

#include <cstdint>

#include "cuda/device/capability.h"
#include "cuda/device/params.h"
#include "cuda/epilogue/finish_tile.h"
#include "cuda/ptx/shared_address.h"
#include "cuda/ptx/special_registers.h"
#include "cuda/sm80/kernels.h"
#include "cuda/sm80/main_loop.h"

namespace sparse_gemm::cuda::sm80 {

template <int kRow>
inline constexpr CudaTile kTileOf = kKernels[kRow].config->tile;
template <int kRow>
inline constexpr Multiply kMultiplyOf = kKernels[kRow].multiply;

template <int kRow>
__device__ __forceinline__ void multiply_pieces(const GemmParams& params) {
  constexpr CudaTile kTile = kTileOf<kRow>;
  constexpr Multiply kMultiply = kMultiplyOf<kRow>;
  constexpr BLoad kBLoad = kKernels[kRow].b_load;
  constexpr MultiplyTraits kTraits = traits_of(kMultiply);
  extern __shared__ __align__(128) char smem[];

  // What is not needed in the main loop takes no registers there, but this.
  __shared__ struct {
    Piece piece;
    Work work;
  } kept;

  const SparseOperand& a = params.problem.a;
  Work work(params.work, blockIdx.x);
  for (Piece piece; work.next(params.work, blockIdx.x, piece);) {
    const int thread = ptx::mov_u32_tid_x();
    WarpTile<kTile, kMultiply> warp_tile(
        ptx::shared_address(smem),
        {stage_strip_scale_bytes(kTraits, a.group_size), a.group_scale_dtype != kTraits.b}, thread);
    if (thread == 0) kept = {piece, work};
    StageLoader<kTile, kMultiply, kBLoad> loader(params, piece, smem, thread);
    warp_tile.clear();
    MainLoop<kTile, kMultiply, kBLoad>(loader, warp_tile)
        .run(static_cast<int>(piece.k_end - piece.k_begin));
    __syncthreads();  // nobody reads the ring any more
    const int same_thread = ptx::mov_u32_tid_x();
    warp_tile.place(same_thread);
    finish_piece(params, kept.piece, warp_tile, smem, same_thread);
    work = kept.work;
    __syncthreads();  // the ring takes copies again
  }
}

// `kRow` is a row of kKernels: nvcc 13.0 cannot write a class-type argument of a kernel in its
// stubs.
template <int kRow>
__global__ __launch_bounds__(kTileOf<kRow>.num_threads(), kTileOf<kRow>.ctas_per_sm)  //
    void gemm_kernel(const __grid_constant__ GemmParams params) {
  if constexpr (runs_on(kKernels[kRow], kCapability)) {
    multiply_pieces<kRow>(params);
  } else {
    __trap();  // rather than a D that nobody has written
  }
}

}  // namespace sparse_gemm::cuda::sm80
