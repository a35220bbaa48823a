// One group on the device: the rules of format/group.h on a word of 16, 32 or 64 bits, the first
// place in the lowest bits.
#pragma once

#include <cstdint>
#include <type_traits>

#include "format/group.h"
#include "format/packed_order.h"

namespace sparse_gemm::cuda {

// format::kNibbleOf...Places as numbers: a device cannot index a host's array.
template <int kPlaces>
inline constexpr uint64_t kNibbleTable = [] {
  uint64_t table = 0;
  for (int mask = 0; mask < 1 << kPlaces; ++mask) {
    const uint8_t nibble =
        kPlaces == 2 ? format::kNibbleOfTwoPlaces[mask % 4] : format::kNibbleOfFourPlaces[mask];
    table |= uint64_t{nibble} % 16 << (4 * mask);
  }
  return table;
}();

// `kBits` are those of a place. What a group keeps has half of its bits.
template <int kPlaces, int kBits>
struct GroupBits {
  static constexpr int kPlaceBits = kBits;
  static constexpr int kGroupBits = kPlaces * kBits;
  static constexpr int kKept = kPlaces / 2;
  static constexpr uint32_t kPlaceMask = kBits == 32 ? ~0u : (1u << kBits % 32) - 1;
  using Group = std::conditional_t<(kGroupBits > 32), uint64_t, uint32_t>;

  __device__ static uint32_t place(Group group, int i) {
    return static_cast<uint32_t>(group >> (i * kBits)) & kPlaceMask;
  }
  // The place of a nibble's first or second stored value.
  __device__ static int stored_place(uint32_t nibble, int slot) {
    if constexpr (kPlaces == 2) return static_cast<int>(nibble & 3) >> 1;
    return static_cast<int>(nibble >> (2 * slot) & 3);
  }
  // The places that a nibble names, side by side.
  __device__ static uint32_t keep(Group group, uint32_t nibble) {
    uint32_t kept = 0;
#pragma unroll
    for (int slot = 0; slot < kKept; ++slot) {
      kept |= place(group, stored_place(nibble, slot)) << (slot * kBits);
    }
    return kept;
  }
  // The inverse.
  __device__ static Group spread(uint32_t kept, uint32_t nibble) {
    Group group = 0;
#pragma unroll
    for (int slot = 0; slot < kKept; ++slot) {
      const Group value = kept >> (slot * kBits) & kPlaceMask;
      group |= value << (stored_place(nibble, slot) * kBits);
    }
    return group;
  }
};

template <Pattern pattern, typename PlaceType, int kBits = 8 * sizeof(typename PlaceType::Storage)>
struct DeviceCodec : GroupBits<(pattern == Pattern::k1of2 ? 2 : 4), kBits> {
  using Place = PlaceType;
  using Base = GroupBits<(pattern == Pattern::k1of2 ? 2 : 4), kBits>;
  using Group = typename Base::Group;
  static constexpr Pattern kPattern = pattern;
  static constexpr DType kDType = Place::kDType;
  static constexpr int kPlaces = pattern == Pattern::k1of2 ? 2 : 4;

  __device__ static typename Place::Storage stored(Group group, int i) {
    return static_cast<typename Place::Storage>(Base::place(group, i));
  }
  __device__ static unsigned nonzero_mask(Group group) {
    unsigned mask = 0;
#pragma unroll
    for (int i = 0; i < kPlaces; ++i) {
      mask |= static_cast<unsigned>(Place::is_nonzero(stored(group, i))) << i;
    }
    return mask;
  }
  __device__ static uint32_t nibble_of(unsigned nonzero_mask) {
    return static_cast<uint32_t>(kNibbleTable<kPlaces> >> (4 * nonzero_mask)) & 0xF;
  }
  __device__ static bool has_too_many(unsigned nonzero_mask) {
    return __popc(nonzero_mask) > Base::kKept;
  }

  // The group with all but its largest magnitudes set to +0; of equals, the earlier are kept.
  __device__ static Group prune(Group group) {
    uint32_t magnitude[kPlaces];
    int num_stronger[kPlaces] = {};
#pragma unroll
    for (int i = 0; i < kPlaces; ++i) magnitude[i] = Place::magnitude(stored(group, i));
#pragma unroll
    for (int i = 0; i < kPlaces; ++i) {
#pragma unroll
      for (int j = i + 1; j < kPlaces; ++j) {
        const bool later_wins = magnitude[j] > magnitude[i];
        num_stronger[i] += later_wins;
        num_stronger[j] += !later_wins;
      }
    }
    Group mask = 0;
#pragma unroll
    for (int i = 0; i < kPlaces; ++i) {
      if (num_stronger[i] < Base::kKept) mask |= Group{Base::kPlaceMask} << (i * kBits);
    }
    return group & mask;
  }
};

}  // namespace sparse_gemm::cuda
