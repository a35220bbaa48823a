// One group of four 16-bit floats on the device: the rules of format/group.h on two words.
#pragma once

#include <cstdint>

#include "format/group.h"

namespace sparse_gemm::cuda {

inline constexpr int kPlaces = 4;
inline constexpr int kKept = 2;
inline constexpr int kElemBits = 16;

// Places 0 and 1, and 2 and 3; the earlier in the low half.
struct Group {
  uint32_t low;
  uint32_t high;

  __device__ uint16_t place(int i) const {
    return static_cast<uint16_t>((i < 2 ? low : high) >> (i % 2 * kElemBits));
  }
};

// format::kNibbleOfFourPlaces as a number: a device cannot index a host's array.
inline constexpr uint64_t kNibbleTable = [] {
  uint64_t table = 0;
  for (int mask = 0; mask < 1 << kPlaces; ++mask) {
    table |= uint64_t{format::kNibbleOfFourPlaces[mask]} % 16 << (4 * mask);
  }
  return table;
}();

__device__ __forceinline__ uint32_t nibble_of(unsigned nonzero_mask) {
  return static_cast<uint32_t>(kNibbleTable >> (4 * nonzero_mask)) & 0xF;
}

__device__ __forceinline__ bool has_too_many(unsigned nonzero_mask) {
  return __popc(nonzero_mask) > kKept;
}

// The same for both 16-bit types.
__device__ __forceinline__ unsigned nonzero_mask(const Group& group) {
  unsigned mask = 0;
#pragma unroll
  for (int i = 0; i < kPlaces; ++i) {
    mask |= static_cast<unsigned>(format::Float16Place::is_nonzero(group.place(i))) << i;
  }
  return mask;
}

// The group with all but its largest magnitudes set to +0; of equals, the earlier are kept.
template <typename Place>
__device__ __forceinline__ Group prune(const Group& group) {
  uint32_t magnitude[kPlaces];
  int num_stronger[kPlaces] = {};
#pragma unroll
  for (int i = 0; i < kPlaces; ++i) magnitude[i] = Place::magnitude(group.place(i));
#pragma unroll
  for (int i = 0; i < kPlaces; ++i) {
#pragma unroll
    for (int j = i + 1; j < kPlaces; ++j) {
      const bool later_wins = magnitude[j] > magnitude[i];
      num_stronger[i] += later_wins;
      num_stronger[j] += !later_wins;
    }
  }
  uint32_t kept[kPlaces];
#pragma unroll
  for (int i = 0; i < kPlaces; ++i) kept[i] = num_stronger[i] < kKept ? 0xFFFFu : 0u;
  return {group.low & (kept[0] | kept[1] << kElemBits),
          group.high & (kept[2] | kept[3] << kElemBits)};
}

// The two places that a nibble names, as one register of A.
__device__ __forceinline__ uint32_t kept_places(const Group& group, uint32_t nibble) {
  constexpr uint32_t kBytesOfPlace0 = 0x10;  // bytes 0 and 1, as prmt selects them
  constexpr uint32_t kNextPlace = 0x22;
  const uint32_t first = kBytesOfPlace0 + kNextPlace * (nibble & 3);
  const uint32_t second = kBytesOfPlace0 + kNextPlace * (nibble >> 2 & 3);
  return __byte_perm(group.low, group.high, first | second << 8);
}

// The inverse: the group that a register of A and its nibble stand for.
__device__ __forceinline__ Group spread(uint32_t kept, uint32_t nibble) {
  const auto place = [&](uint32_t i) {
    const uint32_t first = (nibble & 3) == i ? kept & 0xFFFF : 0u;
    return (nibble >> 2 & 3) == i ? kept >> kElemBits : first;
  };
  return {place(0) | place(1) << kElemBits, place(2) | place(3) << kElemBits};
}

}  // namespace sparse_gemm::cuda
