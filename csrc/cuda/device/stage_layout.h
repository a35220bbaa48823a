// The shared-memory map of a GEMM kernel: a ring of stages, each with a slice of K of all operands.
//
//   values    strips of 16 rows, each `a_tiles` tiles in packed order for each slice of K: a lane
//             reads 16 bytes
//   metadata  strips likewise: a lane reads 4 or 8 bytes
//   scales    of weight-only types: strips likewise, room for the smallest groups
//   b         panels of 128 bytes of K, each a row for each column of B, chunks swizzled
//             (device/swizzle.h)
//
// After the main loop the same memory takes the accumulators (epilogue/lines.h).
#pragma once

#include "core/kernel_config.h"
#include "cuda/device/swizzle.h"
#include "format/packed_order.h"

namespace sparse_gemm::cuda {

inline constexpr int kMinGroupSize = 32;  // of group scales

template <CudaTile kTile, Multiply kMultiply>
struct StageLayout {
  static constexpr MultiplyTraits kTraits = traits_of(kMultiply);
  static constexpr format::PackedType kPackedType = format::packed_type_of(kMultiply);
  static constexpr format::PackedTraits kPacked = format::packed_traits(kPackedType);
  static_assert(kTile.m % format::kPackedTileRows == 0, "A comes in strips");
  static_assert(kTile.num_stages >= 2, "one stage is filled while another is read");

  static constexpr int kStrips = kTile.m / format::kPackedTileRows;
  static constexpr int kSlices = kTile.warps_k;
  // Of one strip's slice, and of one strip.
  static constexpr int kSliceValuesBytes = kTraits.a_tiles * kPacked.values_bytes();
  static constexpr int kSliceMetadataBytes = kTraits.a_tiles * kPacked.metadata_bytes();
  static constexpr int kStripValuesBytes = kSlices * kSliceValuesBytes;
  static constexpr int kStripMetadataBytes = kSlices * kSliceMetadataBytes;
  static constexpr int kStripScalesBytes =
      kTraits.weight_only ? kSlices * format::packed_scales_tile_bytes(kPackedType, kMinGroupSize)
                          : 0;
  // Of a column of B in a stage, and of one panel of all columns.
  static constexpr int kPanels = kSlices * kTraits.b_panels;
  static constexpr int kColumnBytes = kPanels * kRowBytes;
  static constexpr int kPanelBytes = kTile.n * kRowBytes;

  static constexpr int kValues = 0;
  static constexpr int kMetadata = kValues + kStrips * kStripValuesBytes;
  static constexpr int kScales = kMetadata + kStrips * kStripMetadataBytes;
  static constexpr int kB = kScales + kStrips * kStripScalesBytes;
  static constexpr int kStageBytes = kB + kPanels * kPanelBytes;
  static constexpr int kRingBytes = kTile.num_stages * kStageBytes;

  static_assert(kB % kRowBytes == 0, "rows of b begin at bank 0");

  static constexpr int kBElemBytes = bytes_of(kTraits.b);
  // Of all of K in a column of B.
  static constexpr int64_t b_bytes(int64_t k) {
    return kTraits.b == DType::kInt4x2 ? ceil_div(k, 2) : k * kBElemBytes;
  }
};

}  // namespace sparse_gemm::cuda
