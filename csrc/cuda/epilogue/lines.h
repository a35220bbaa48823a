// How a tile's accumulators lie in shared memory: one line after another along the contiguous
// dimension of D, a 32-bit word each.
//
// A warp stores its mma's results, 8 rows by 8 columns at a time, a word a lane where lines run
// along M and two where they run along N; then each lane loads 8 neighbours as two vectors. In
// lines of 64 and more no two meet in a bank: 4 words more after each 32 keep the vectors of 8
// lanes apart, and lines lie 4 (along M) or 8 (along N) more than a multiple of 8 or 16 words
// apart.
#pragma once

#include <algorithm>

#include "core/kernel_config.h"
#include "core/pattern.h"

namespace sparse_gemm::cuda {

inline constexpr int kLinePieceElems = 32;
inline constexpr int kLinePadding = 4;
inline constexpr int kWordBytes = 4;

constexpr int line_offset(int elem) {
  return elem + elem / kLinePieceElems * kLinePadding;
}
constexpr int line_pitch(int line_elems, bool along_m) {
  const int step = along_m ? 4 : 8;
  return static_cast<int>(round_up(line_offset(line_elems) + step, 2 * step)) - step;
}

// Of the tile's sums over one slice of K.
constexpr int line_words(const CudaTile& tile) {
  return std::max(tile.n * line_pitch(tile.m, true), tile.m * line_pitch(tile.n, false));
}

// Shared memory that store_tile needs.
constexpr int line_bytes(const CudaTile& tile) {
  return kWordBytes * tile.warps_k * line_words(tile);
}

}  // namespace sparse_gemm::cuda
