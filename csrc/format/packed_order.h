// Packed order: where the values and nibbles of a 16-bit 2:4 matrix stand for CUDA kernels.
//
// A matrix [rows, K] is cut into tiles of 16 rows by 64 elements of K: two k-steps of
// mma.sp.m16n8k32. The tiles of a strip of 16 rows lie one after another along K, strips one after
// another. A tile is what a warp's registers hold, in lane order, so that a lane fetches its
// operands with one aligned load each:
//
//   values    k_step 0: lanes 0..31 x 16 bytes (registers 0..3 of A), then k_step 1
//   metadata  lanes 0..31 x 4 bytes (operand E): k_step 0 in the lanes that selector 0 reads,
//             k_step 1 in those of selector 1
//
// A register of A holds the two kept values of one group. Rows and K are filled up to whole tiles
// with groups of zeros, whose nibble is kZeroGroupNibble.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/pattern.h"
#include "format/metadata_order.h"

namespace sparse_gemm::format {

inline constexpr int kPackedTileRows = 16;
inline constexpr int kPackedTileK = 64;
inline constexpr int kPackedStepK = 32;  // K of mma.sp.m16n8k32
inline constexpr int kPackedStepsPerTile = kPackedTileK / kPackedStepK;
// Numbers, not look-ups: nvcc compiles a reference into a host's table without a word, and on the
// device it is a wild address. So kernels must not call traits_of or num_groups.
inline constexpr int kGroupElems = traits_of(Pattern::k2of4).group_size;
inline constexpr int kGroupsPerStep = kPackedStepK / kGroupElems;
inline constexpr int kRegistersPerLane = 4;  // of A, for one k-step
inline constexpr int kPackedStepWords = kLanesPerWarp * kRegistersPerLane;
inline constexpr int kPackedTileWords = kPackedStepsPerTile * kPackedStepWords;
inline constexpr int kPackedValuesTileBytes = kPackedTileWords * 4;
inline constexpr int kPackedMetadataTileBytes = kLanesPerWarp * 4;

// The lane order of the metadata of mma.sp.m16n8k32 for 16-bit types.
inline constexpr LaneOrder kPackedLaneOrder =
    find_metadata_instruction("mma.sp.m16n8k32.f16")->order;
inline constexpr int kSuppliersPerQuad = kPackedLaneOrder.lanes_per_quad();
static_assert(kPackedLaneOrder.num_groups == kGroupsPerStep);
static_assert(kPackedLaneOrder.num_selectors() == kPackedStepsPerTile);

constexpr bool packed_supports(Pattern pattern, DType dtype) {
  return pattern == Pattern::k2of4 && (dtype == DType::kFloat16 || dtype == DType::kBFloat16);
}

constexpr int64_t num_packed_strips(int64_t rows) {
  return ceil_div(rows, kPackedTileRows);
}
constexpr int64_t num_packed_k_tiles(int64_t k) {
  return ceil_div(k, kPackedTileK);
}
constexpr int64_t num_packed_tiles(int64_t rows, int64_t k) {
  return num_packed_strips(rows) * num_packed_k_tiles(k);
}
constexpr int64_t packed_values_bytes(int64_t rows, int64_t k) {
  return num_packed_tiles(rows, k) * kPackedValuesTileBytes;
}
constexpr int64_t packed_metadata_bytes(int64_t rows, int64_t k) {
  return num_packed_tiles(rows, k) * kPackedMetadataTileBytes;
}

// Of canonical storage: groups in a row, and bytes of its metadata.
constexpr int64_t groups_per_row(int64_t k) {
  return ceil_div(k, kGroupElems);
}
constexpr int64_t canonical_row_bytes(int64_t k) {
  return ceil_div(groups_per_row(k), kGroupsPerMetadataByte);
}

// A group within a tile, as its lane sees it. Lane 4 * quad + t holds of each k-step the groups t
// and t + 4 of the rows quad and quad + 8.
struct PackedGroup {
  int k_step;  // 0, 1
  int upper;   // 1: row quad + 8
  int later;   // 1: group t + 4
  constexpr bool operator==(const PackedGroup&) const = default;
};

// Which of the lane's four registers of A holds it.
constexpr int packed_register(PackedGroup at) {
  return at.upper + 2 * at.later;
}

// Its row and its group within the tile (0..15).
constexpr RowGroup packed_row_group(int lane, PackedGroup at) {
  return {lane / kLanesPerQuad + kRowsPerHalf * at.upper,
          at.k_step * kGroupsPerStep + lane % kLanesPerQuad + kLanesPerQuad * at.later};
}

// Word of the tile's values that holds the group at (row, group) of the tile: the inverse.
constexpr int packed_value_word(RowGroup at) {
  const int row = static_cast<int>(at.row);
  const int k_step = static_cast<int>(at.group) / kGroupsPerStep;
  const int group = static_cast<int>(at.group) % kGroupsPerStep;
  const int lane = kLanesPerQuad * (row % kRowsPerHalf) + group % kLanesPerQuad;
  const PackedGroup held{k_step, row / kRowsPerHalf, group / kLanesPerQuad};
  return k_step * kPackedStepWords + lane * kRegistersPerLane + packed_register(held);
}

// Word of the tile's metadata, and bit in it, of the nibble of (row, group) of the tile.
constexpr LaneBit packed_metadata_bit(RowGroup at) {
  const int k_step = static_cast<int>(at.group) / kGroupsPerStep;
  return lane_bit(kPackedLaneOrder, k_step, {at.row, at.group % kGroupsPerStep});
}

}  // namespace sparse_gemm::format
