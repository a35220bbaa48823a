// The metadata operand of mma.sp.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mma/fragments.h"

namespace emulator::mma {

inline constexpr int kMaxRows = 16;

// The nibbles of each row, the first group's lowest: at most 16 groups.
using RowMetadata = std::array<uint64_t, kMaxRows>;

inline RowMetadata gather_metadata(const Description& description, const uint32_t* words) {
  RowMetadata rows{};
  const int num_lanes = metadata_lanes_per_quad(description);
  const uint32_t* first = words + description.selector * num_lanes;
  if (word_serves_two_rows(description.a)) {
    for (int i = 0; i < num_lanes; ++i) {
      for (int q = 0; q < kTile; ++q) {
        const uint64_t word = first[q * kLanesPerQuad + i];
        rows[q] |= (word & 0xffff) << (16 * i);
        rows[q + kTile] |= (word >> 16) << (16 * i);
      }
    }
  } else {
    for (int i = 0; i < num_lanes; ++i) {
      for (int q = 0; q < kTile; ++q) {
        const uint64_t word = first[q * kLanesPerQuad + i];
        rows[q + i % 2 * kTile] |= word << (32 * (i / 2));
      }
    }
  }
  return rows;
}

// Bit 4 * group is set where the nibble of that group is valid: two indices in ascending order with
// ::ordered_metadata, two unlike indices without, 0x4 or 0xE for tf32.
constexpr uint64_t valid_groups(const Description& description, uint64_t row) {
  constexpr uint64_t kOnes = 0x1111'1111'1111'1111, kEights = 8 * kOnes, kThrees = 3 * kOnes;
  if (description.a == Element::kTF32) {
    return row >> 2 & ~row & ~(row >> 1 ^ row >> 3) & kOnes;
  }
  const uint64_t first = row & kThrees, second = row >> 2 & kThrees;
  // No borrow leaves a nibble: it is 8 to 11 less 1 to 4.
  if (description.ordered) return ((second | kEights) - (first + kOnes)) >> 3 & kOnes;
  const uint64_t differing = first ^ second;
  return (differing | differing >> 1) & kOnes;
}

// Bit 4 * group is set for each group of a row.
constexpr uint64_t all_groups(const Description& description) {
  constexpr uint64_t kOnes = 0x1111'1111'1111'1111;
  return kOnes >> (64 - kBitsPerNibble * (description.shape.k / group_size(description.a)));
}

inline bool is_valid(const Description& description, const RowMetadata& metadata) {
  uint64_t valid = ~uint64_t{0};
  for (int row = 0; row < description.shape.m; ++row) {
    valid &= valid_groups(description, metadata[row]);
  }
  return (valid & all_groups(description)) == all_groups(description);
}

// Appends an issue for each lane that supplied a nibble that is not valid; the first of a lane
// only. stored_is_zero(row, column) says whether that stored element of A is a zero of either sign.
template <class StoredIsZero>
void report_invalid(const Description& description, const RowMetadata& metadata,
                    StoredIsZero stored_is_zero, std::vector<MetadataIssue>& issues) {
  const int num_groups = description.shape.k / group_size(description.a);
  const int stored_per_group = group_size(description.a) / 2;
  std::array<bool, kLanes> reported{};
  for (int row = 0; row < description.shape.m; ++row) {
    for (int group = 0; group < num_groups; ++group) {
      const int shift = kBitsPerNibble * group;
      const int nibble = static_cast<int>(metadata[row] >> shift & 0xf);
      const int lane = nibble_position(description, row, group).lane;
      if (reported[lane] || (valid_groups(description, metadata[row]) >> shift & 1)) continue;
      reported[lane] = true;
      bool zero = true;
      for (int i = 0; i < stored_per_group; ++i) {
        zero = zero && stored_is_zero(row, group * stored_per_group + i);
      }
      issues.push_back({lane, row, group, nibble, zero});
    }
  }
}

}  // namespace emulator::mma
