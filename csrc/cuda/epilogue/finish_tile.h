// finish_piece: what becomes of the accumulators of a piece. Those of a whole tile, or of all its
// pieces added up, go through the epilogue to D.
#pragma once

#include "cuda/device/params.h"
#include "cuda/device/partials.h"
#include "cuda/epilogue/store_tile.h"

namespace sparse_gemm::cuda {

// Overwrites the ring in shared memory: every thread has finished reading it, and no copy to it is
// under way. The caller puts a barrier before it fills the ring again.
//
// `Warp` is a WarpTile: its kTile, kMultiply, kMmasM, kMmasN, m_begin, n_begin, lane, accumulator.
template <typename Warp>
__device__ __forceinline__ void finish_piece(const GemmParams& params, const Piece& piece,
                                             Warp& warp_tile, char* smem, int thread) {
  if (!piece.is_whole && !add_partials(params, piece, warp_tile, thread)) return;
  store_tile(params.problem, piece, warp_tile, smem, thread);
}

}  // namespace sparse_gemm::cuda
