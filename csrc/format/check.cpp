// supports, check and check_metadata: what can be compressed, and what is well-formed.
#include "format/block_kernels.h"
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

// The first of `groups` groups of a row whose nibble is not one of `valid`; `groups` if all are.
[[gnu::noinline]] int64_t first_invalid(const uint8_t* metadata, int64_t groups, uint16_t valid) {
  for (int64_t unit = 0; unit < ceil_div(groups, kGroupsPerMetadataByte); ++unit) {
    const unsigned byte = metadata[unit];
    const int64_t group = unit * kGroupsPerMetadataByte;
    const bool has_second = group + 1 < groups;
    if (!is_valid(valid, byte & 0xF)) return group;
    if (has_second && !is_valid(valid, byte >> kMetadataBitsPerGroup)) return group + 1;
  }
  return groups;
}

// How many groups at the front need no closer look: whole blocks in which nothing is wrong.
template <typename Input>
int64_t num_passed(bool (*check_blocks)(const Input*, int64_t), const Input* input,
                   int64_t groups) {
  const int64_t blocks = check_blocks == nullptr ? 0 : groups / kBlockGroups;
  return blocks > 0 && check_blocks(input, blocks) ? blocks * kBlockGroups : 0;
}

}  // namespace

bool supports(Pattern pattern, DType dtype) {
  return AllCodecs::contains(pattern, dtype);
}

std::optional<GroupPosition> check(const DenseView& w, Pattern pattern, const CpuProps& props) {
  FirstPosition first(num_groups(pattern, w.k));
  AllCodecs::visit(pattern, w.dtype, [&]<typename C>() {
    const BlockKernels* kernels = find_block_kernels(props.isa, C::kPattern, C::kDType);
    const auto check_blocks = kernels == nullptr ? nullptr : kernels->check;
    for_each_span<C>(w, props.num_threads, [&](const Span& span) {
      const int64_t first_group = span.unit * kGroupsPerMetadataByte;
      if (first.is_before(span.row, first_group)) return;
      const int64_t passed = num_passed(check_blocks, span.dense, span.groups);
      const int64_t violation =
          passed + first_violation<C>(span.dense + passed * C::kGroupBytes, span.groups - passed);
      if (violation < span.groups) first.report(span.row, first_group + violation);
    });
  });
  return first.get();
}

std::optional<GroupPosition> check_metadata(const uint8_t* metadata, Pattern pattern, int64_t rows,
                                            int64_t k, const CpuProps& props) {
  const uint16_t valid = pattern == Pattern::k1of2 ? valid_nibbles(kNibbleOfTwoPlaces)
                                                   : valid_nibbles(kNibbleOfFourPlaces);
  const BlockKernels* kernels = find_block_kernels(props.isa, pattern);
  const auto check_blocks = kernels == nullptr ? nullptr : kernels->check_metadata;
  const int64_t groups = num_groups(pattern, k);
  const int64_t units = metadata_row_bytes(pattern, k);
  FirstPosition first(groups);
  for_each_tile(rows, units, 1, kTileBytes, props.num_threads, [&](const Tile& tile) {
    const int64_t first_group = tile.unit_begin * kGroupsPerMetadataByte;
    const int64_t tile_groups =
        std::min(tile.unit_end * kGroupsPerMetadataByte, groups) - first_group;
    for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
      const uint8_t* row_metadata = metadata + row * units + tile.unit_begin;
      const int64_t passed = num_passed(check_blocks, row_metadata, tile_groups);
      const int64_t invalid = passed + first_invalid(row_metadata + passed / kGroupsPerMetadataByte,
                                                     tile_groups - passed, valid);
      if (invalid < tile_groups) return first.report(row, first_group + invalid);
    }
  });
  return first.get();
}

}  // namespace sparse_gemm::format
