// Tables that SIMD kernels look masks and nibbles up in, all made from those of group.h.
//
// A mask has a bit for each place, of a group four; a byte of masks is two groups, as a byte of
// metadata is.
#pragma once

#include <array>
#include <cstdint>

#include "format/group.h"

namespace sparse_gemm::format {

using Nibble16 = std::array<uint8_t, 16>;  // what one byte shuffle looks up
inline constexpr int kMasks = 256;         // of two groups
inline constexpr uint8_t kNoSlot = 0x80;   // a byte shuffle writes zero for it

// The nibble for each mask of non-zeros, or kTooMany.
inline constexpr Nibble16 kNibbleOfMask = std::to_array(kNibbleOfFourPlaces);

// The same for two groups of 1:2: four places, a byte of metadata.
inline constexpr Nibble16 kMetadataOfTwoPairs = [] {
  Nibble16 metadata{};
  for (unsigned mask = 0; mask < 16; ++mask) {
    const unsigned low = kNibbleOfTwoPlaces[mask & 3];
    const unsigned high = kNibbleOfTwoPlaces[mask >> 2];
    metadata[mask] = static_cast<uint8_t>((low & 0xF) | (high & 0xF) << 4);
  }
  return metadata;
}();

// kTooMany where one of two groups of 1:2 has too many non-zeros, else 0.
inline constexpr Nibble16 kTooManyOfTwoPairs = [] {
  Nibble16 too_many{};
  for (unsigned mask = 0; mask < 16; ++mask) {
    const unsigned both = kNibbleOfTwoPlaces[mask & 3] | kNibbleOfTwoPlaces[mask >> 2];
    too_many[mask] = static_cast<uint8_t>(both & kTooMany);
  }
  return too_many;
}();

// The mask of the places that a nibble names.
inline constexpr Nibble16 kMaskOfNibble = [] {
  Nibble16 masks{};
  for (unsigned nibble = 0; nibble < 16; ++nibble) {
    masks[nibble] = static_cast<uint8_t>(1u << (nibble & 3) | 1u << (nibble >> 2));
  }
  return masks;
}();

// 0 for nibbles that are stored for some mask of non-zeros, 1 for those that mean nothing.
template <size_t kNumMasks>
constexpr Nibble16 invalid_nibbles(const uint8_t (&nibble_of_mask)[kNumMasks]) {
  Nibble16 invalid{};
  invalid.fill(1);
  for (uint8_t nibble : nibble_of_mask) {
    if (nibble != kTooMany) invalid[nibble] = 0;
  }
  return invalid;
}

// The first four places of a mask's ones: from where the kept places are moved together.
inline constexpr auto kPlacesOfMask = [] {
  std::array<std::array<uint8_t, 4>, kMasks> places{};
  for (unsigned mask = 0; mask < kMasks; ++mask) {
    size_t slot = 0;
    for (unsigned place = 0; place < 8 && slot < 4; ++place) {
      if ((mask >> place & 1) != 0) places[mask][slot++] = static_cast<uint8_t>(place);
    }
  }
  return places;
}();

// The inverse: which stored value each place gets, or kNoSlot.
inline constexpr auto kSlotsOfMask = [] {
  std::array<std::array<uint8_t, 8>, kMasks> slots{};
  for (unsigned mask = 0; mask < kMasks; ++mask) {
    uint8_t slot = 0;
    for (unsigned place = 0; place < 8; ++place) {
      const bool is_kept = (mask >> place & 1) != 0 && slot < 4;
      slots[mask][place] = is_kept ? slot++ : kNoSlot;
    }
  }
  return slots;
}();

// Both as indices of bytes, for places of two bytes.
template <size_t kSize>
constexpr auto byte_pairs(const std::array<std::array<uint8_t, kSize>, kMasks>& indices) {
  std::array<std::array<uint8_t, 2 * kSize>, kMasks> pairs{};
  for (unsigned mask = 0; mask < kMasks; ++mask) {
    for (size_t i = 0; i < kSize; ++i) {
      const uint8_t index = indices[mask][i];
      const bool is_none = index == kNoSlot;
      pairs[mask][2 * i] = is_none ? kNoSlot : static_cast<uint8_t>(2 * index);
      pairs[mask][2 * i + 1] = is_none ? kNoSlot : static_cast<uint8_t>(2 * index + 1);
    }
  }
  return pairs;
}
inline constexpr auto kPlacePairsOfMask = byte_pairs(kPlacesOfMask);
inline constexpr auto kSlotPairsOfMask = byte_pairs(kSlotsOfMask);

}  // namespace sparse_gemm::format
