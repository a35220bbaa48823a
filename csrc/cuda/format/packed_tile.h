// A warp's view of one packed tile (format/packed_order.h), for the kernels that make one or read
// one. Each lane holds eight groups: of the rows quad and quad + 8, in each of the two k-steps, the
// groups t and t + 4. A quad then reads 32 neighbouring bytes of a dense row at a time, a whole
// sector, and a lane's own words are what it stores to packed memory, 16 bytes a k-step.
#pragma once

#include <cstdint>

#include "format/packed_order.h"

namespace sparse_gemm::cuda {

using format::PackedGroup;

inline constexpr int kWarpsPerCta = 4;
inline constexpr int kUppers = 2;
inline constexpr int kLaters = 2;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// Calls op(at) for the lane's eight groups, with the loops unrolled.
template <typename Op>
__device__ __forceinline__ void for_each_group(Op op) {
#pragma unroll
  for (int k_step = 0; k_step < format::kPackedStepsPerTile; ++k_step) {
#pragma unroll
    for (int later = 0; later < kLaters; ++later) {
#pragma unroll
      for (int upper = 0; upper < kUppers; ++upper) op(PackedGroup{k_step, upper, later});
    }
  }
}

// Which lane of a quad supplies the nibble of a group, and at which bit.
constexpr int metadata_lane_in_quad(PackedGroup at) {
  return format::kSuppliersPerQuad * at.k_step + at.later;
}
constexpr int metadata_bit(PackedGroup at, int lane_in_quad) {
  return format::kBitsPerNibble * (format::kLanesPerQuad * at.upper + lane_in_quad);
}

constexpr bool metadata_places_agree() {
  for (int lane = 0; lane < format::kLanesPerWarp; ++lane) {
    for (int i = 0; i < format::kPackedStepsPerTile * kUppers * kLaters; ++i) {
      const PackedGroup at{i / 4, i / 2 % 2, i % 2};
      const format::LaneBit place = format::packed_metadata_bit(format::packed_row_group(lane, at));
      const int quad = lane / format::kLanesPerQuad;
      if (place.lane != quad * format::kLanesPerQuad + metadata_lane_in_quad(at)) return false;
      if (place.bit != metadata_bit(at, lane % format::kLanesPerQuad)) return false;
    }
  }
  return true;
}
static_assert(metadata_places_agree(), "these are the places of format/packed_order.h");

// Where this warp's tile lies, and what this lane holds of it.
struct TilePosition {
  int64_t tile;   // in packed memory
  int64_t row;    // of the lane's groups with upper = 0
  int64_t group;  // of its first group
  int lane;

  __device__ int64_t row_of(PackedGroup at) const { return row + format::kRowsPerHalf * at.upper; }
  __device__ int64_t group_of(PackedGroup at) const {
    return group + format::kGroupsPerStep * at.k_step + format::kLanesPerQuad * at.later;
  }
};

__device__ __forceinline__ TilePosition tile_position(int64_t num_k_tiles) {
  constexpr int kGroupsPerTile = format::kPackedStepsPerTile * format::kGroupsPerStep;
  const int lane = static_cast<int>(threadIdx.x) % format::kLanesPerWarp;
  const int warp = static_cast<int>(threadIdx.x) / format::kLanesPerWarp;
  const int64_t tile = blockIdx.x * int64_t{kWarpsPerCta} + warp;
  return {tile, tile / num_k_tiles * format::kPackedTileRows + lane / format::kLanesPerQuad,
          tile % num_k_tiles * kGroupsPerTile + lane % format::kLanesPerQuad, lane};
}

// What a lane holds of a packed tile: the registers of A for both k-steps, and operand E.
struct HeldTile {
  uint32_t word[format::kPackedStepsPerTile][format::kRegistersPerLane];
  uint32_t metadata;

  __device__ uint32_t& word_of(PackedGroup at) {
    return word[at.k_step][format::packed_register(at)];
  }
};

// Nibbles travel within quads: each lane knows those of its eight groups (nibble[k_step][later], as
// bits of the word they belong to) and ends up with the word that it supplies to mma.sp.
__device__ __forceinline__ uint32_t
gather_metadata(const uint32_t (&bits)[format::kPackedStepsPerTile][kLaters], int lane) {
  uint32_t metadata = 0;
#pragma unroll
  for (int k_step = 0; k_step < format::kPackedStepsPerTile; ++k_step) {
#pragma unroll
    for (int later = 0; later < kLaters; ++later) {
      uint32_t word = bits[k_step][later];
      word |= __shfl_xor_sync(kAllLanes, word, 1);
      word |= __shfl_xor_sync(kAllLanes, word, 2);
      const int supplier = metadata_lane_in_quad({k_step, 0, later});
      if (lane % format::kLanesPerQuad == supplier) metadata = word;
    }
  }
  return metadata;
}

// The inverse: the words of the quad, of which each lane supplies one.
__device__ __forceinline__ void spread_metadata(
    uint32_t metadata, uint32_t (&bits)[format::kPackedStepsPerTile][kLaters]) {
#pragma unroll
  for (int k_step = 0; k_step < format::kPackedStepsPerTile; ++k_step) {
#pragma unroll
    for (int later = 0; later < kLaters; ++later) {
      bits[k_step][later] = __shfl_sync(
          kAllLanes, metadata, metadata_lane_in_quad({k_step, 0, later}), format::kLanesPerQuad);
    }
  }
}

__device__ __forceinline__ void store_packed(const TilePosition& position, const HeldTile& held,
                                             uint4* values, uint32_t* metadata) {
#pragma unroll
  for (int k_step = 0; k_step < format::kPackedStepsPerTile; ++k_step) {
    const uint32_t (&word)[format::kRegistersPerLane] = held.word[k_step];
    values[(position.tile * format::kPackedStepsPerTile + k_step) * format::kLanesPerWarp +
           position.lane] = make_uint4(word[0], word[1], word[2], word[3]);
  }
  metadata[position.tile * format::kLanesPerWarp + position.lane] = held.metadata;
}

__device__ __forceinline__ HeldTile load_packed(const TilePosition& position, const uint4* values,
                                                const uint32_t* metadata) {
  HeldTile held;
#pragma unroll
  for (int k_step = 0; k_step < format::kPackedStepsPerTile; ++k_step) {
    const uint4 words =
        values[(position.tile * format::kPackedStepsPerTile + k_step) * format::kLanesPerWarp +
               position.lane];
    held.word[k_step][0] = words.x, held.word[k_step][1] = words.y;
    held.word[k_step][2] = words.z, held.word[k_step][3] = words.w;
  }
  held.metadata = metadata[position.tile * format::kLanesPerWarp + position.lane];
  return held;
}

}  // namespace sparse_gemm::cuda
