// supports, check and check_metadata: what can be compressed, and what is well-formed.
#include "format/format.h"
#include "format/group.h"
#include "format/span.h"

namespace sparse_gemm::format {
namespace {

// Bit n: nibble n is stored for some mask of non-zeros, so it names the right number of places.
template <size_t kNumMasks>
constexpr uint16_t valid_nibbles(const uint8_t (&nibble_of_mask)[kNumMasks]) {
  uint16_t valid = 0;
  for (uint8_t nibble : nibble_of_mask) {
    if (nibble != kTooMany) valid = static_cast<uint16_t>(valid | 1u << nibble);
  }
  return valid;
}

constexpr bool is_valid(uint16_t valid, unsigned nibble) {
  return (valid >> nibble & 1) != 0;
}

}  // namespace

bool supports(Pattern pattern, DType dtype) {
  return AllCodecs::contains(pattern, dtype);
}

std::optional<GroupPosition> check(const DenseView& w, Pattern pattern, int num_threads) {
  FirstPosition first(num_groups(pattern, w.k));
  AllCodecs::visit(pattern, w.dtype, [&]<typename C>() {
    for_each_span<C>(w, num_threads, [&](const Span& span) {
      const int64_t first_group = span.unit * kGroupsPerMetadataByte;
      if (first.is_before(span.row, first_group)) return;
      const int64_t violation = first_violation<C>(span.dense, span.groups);
      if (violation < span.groups) first.report(span.row, first_group + violation);
    });
  });
  return first.get();
}

std::optional<GroupPosition> check_metadata(const uint8_t* metadata, Pattern pattern, int64_t rows,
                                            int64_t k, int num_threads) {
  const uint16_t valid = pattern == Pattern::k1of2 ? valid_nibbles(kNibbleOfTwoPlaces)
                                                   : valid_nibbles(kNibbleOfFourPlaces);
  const int64_t groups = num_groups(pattern, k);
  const int64_t units = metadata_row_bytes(pattern, k);
  FirstPosition first(groups);
  for_each_tile(rows, units, 1, kTileBytes, num_threads, [&](const Tile& tile) {
    for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
      for (int64_t unit = tile.unit_begin; unit < tile.unit_end; ++unit) {
        const unsigned byte = metadata[row * units + unit];
        const int64_t group = unit * kGroupsPerMetadataByte;
        const bool has_second = group + 1 < groups;
        if (!is_valid(valid, byte & 0xF)) {
          return first.report(row, group);
        }
        if (has_second && !is_valid(valid, byte >> kMetadataBitsPerGroup)) {
          return first.report(row, group + 1);
        }
      }
    }
  });
  return first.get();
}

}  // namespace sparse_gemm::format
