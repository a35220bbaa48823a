// Pattern: the three structured-sparsity patterns and the geometry of their canonical storage.
//
// A group is `group_size` consecutive elements along K. The unit that is kept or pruned as a whole
// is a place: one element, or one pair of 4-bit elements in 4:8.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/dtype.h"

namespace sparse_gemm {

enum class Pattern : uint8_t { k2of4, k1of2, k4of8 };

inline constexpr int kNumPatterns = 3;
inline constexpr int kGroupsPerMetadataByte = 2;
inline constexpr int kMetadataBitsPerGroup = 4;

struct PatternTraits {
  std::string_view name;
  int group_size;   // logical elements along K in a group
  int places;       // places in a group: elements, or pairs in 4:8
  int kept_places;  // places whose values are stored
};

inline constexpr PatternTraits kPatternTraits[kNumPatterns] = {
    {"2:4", 4, 4, 2},
    {"1:2", 2, 2, 1},
    {"4:8", 8, 4, 2},
};

constexpr const PatternTraits& traits_of(Pattern pattern) {
  return kPatternTraits[static_cast<int>(pattern)];
}

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
constexpr int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// Groups in a row of K logical elements; the last one may reach past K, where zeros are read.
constexpr int64_t num_groups(Pattern pattern, int64_t k) {
  return ceil_div(k, traits_of(pattern).group_size);
}
// Stored places in a row of values.
constexpr int64_t k_compressed(Pattern pattern, int64_t k) {
  return num_groups(pattern, k) * traits_of(pattern).kept_places;
}
// Stored units (elements, or bytes of two 4-bit elements) in a row of values. In 2:4 of a 4-bit
// type the two places that a group keeps share a byte.
constexpr int64_t k_compressed(Pattern pattern, DType dtype, int64_t k) {
  const bool is_4_bit = dtype == DType::kInt4x2 || dtype == DType::kUInt4x2;
  const bool shares = is_4_bit && pattern != Pattern::k4of8;
  return shares ? ceil_div(k_compressed(pattern, k), 2) : k_compressed(pattern, k);
}
// Bytes in a row of canonical metadata.
constexpr int64_t metadata_row_bytes(Pattern pattern, int64_t k) {
  return ceil_div(num_groups(pattern, k), kGroupsPerMetadataByte);
}

}  // namespace sparse_gemm
