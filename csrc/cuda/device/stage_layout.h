// The shared-memory map of a GEMM kernel: a ring of stages, each with a slice of K of all operands.
//
//   a         strips of 16 rows x 1024 bytes: values in packed order, a lane reads 16 bytes
//   metadata  strips of 16 rows x 128 bytes: packed order, a lane reads 4 bytes
//   b         one row of 128 bytes for each column of B, chunks swizzled (device/swizzle.h)
//
// After the main loop the same memory takes the accumulators (epilogue/store_tile.h).
#pragma once

#include <algorithm>

#include "core/kernel_config.h"
#include "cuda/device/swizzle.h"
#include "format/packed_order.h"

namespace sparse_gemm::cuda {

template <CudaTile kTile>
struct StageLayout {
  static_assert(kTile.k == format::kPackedTileK, "a stage holds one packed tile of each strip");
  static_assert(kTile.m % format::kPackedTileRows == 0, "A comes in strips");
  static_assert(kTile.num_stages >= 2, "one stage is filled while another is read");

  static constexpr int kStrips = kTile.m / format::kPackedTileRows;
  static constexpr int kABytes = kStrips * format::kPackedValuesTileBytes;
  static constexpr int kMetadataBytes = kStrips * format::kPackedMetadataTileBytes;
  static constexpr int kBBytes = kTile.n * kChunksPerRow * kChunkBytes;

  static constexpr int kMetadata = kABytes;
  static constexpr int kB = kMetadata + kMetadataBytes;
  static constexpr int kStageBytes = kB + kBBytes;
  static constexpr int kRingBytes = kTile.num_stages * kStageBytes;

  static_assert(kB % (kChunksPerRow * kChunkBytes) == 0, "rows of b begin at bank 0");
};

// The accumulators of a tile as floats: one line after another along the contiguous dimension of D.
//
// A warp stores its mma's results, 8 rows by 8 columns at a time, a float a lane where lines run
// along M and two where they run along N; then each lane loads 8 neighbours as two vectors. In
// lines of 64 and more no two meet in a bank: 4 floats more after each 32 keep the vectors of 8
// lanes apart, and lines lie 4 (along M) or 8 (along N) more than a multiple of 8 or 16 floats
// apart.
inline constexpr int kLinePieceElems = 32;
inline constexpr int kLinePadding = 4;

constexpr int line_offset(int elem) {
  return elem + elem / kLinePieceElems * kLinePadding;
}
constexpr int line_pitch(int line_elems, bool along_m) {
  const int step = along_m ? 4 : 8;
  return static_cast<int>(round_up(line_offset(line_elems) + step, 2 * step)) - step;
}

template <CudaTile kTile>
inline constexpr int kSharedBytes =
    std::max({StageLayout<kTile>::kRingBytes,
              kTile.n * line_pitch(kTile.m, true) * static_cast<int>(sizeof(float)),
              kTile.m * line_pitch(kTile.n, false) * static_cast<int>(sizeof(float))});

}  // namespace sparse_gemm::cuda
