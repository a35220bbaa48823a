// compress: from a dense matrix to canonical values and metadata, in one pass.
#include <cstring>

#include "core/huge_pages.h"
#include "format/block_kernels.h"
#include "format/format.h"
#include "format/group.h"
#include "format/span.h"

namespace sparse_gemm::format {
namespace {

// Stores the kept places of one group and returns its nibble, or kTooMany.
template <typename C, Policy policy>
SPARSE_GEMM_INLINE unsigned compress_group(const std::byte* group, std::byte* values) {
  unsigned nonzero = C::nonzero_mask(group);
  unsigned unpruned = ~0u;
  if constexpr (policy == Policy::kPrune) {
    unpruned = C::largest_mask(group);
    nonzero &= unpruned;
  }
  const unsigned nibble = C::nibble_of(nonzero);
  // What fills up a group need not be what prune kept: a pruned -0.0 must come out as +0.
  C::keep(group, nibble, unpruned, values);
  return nibble;
}

// Compresses whole units, reading and writing contiguous memory. False if a group has too many
// non-zeros: then what was written is meaningless.
template <typename C, Policy policy>
[[gnu::noinline]] bool compress_groups(const std::byte* dense, int64_t units, std::byte* values,
                                       uint8_t* metadata) {
  unsigned seen = 0;
  for (int64_t unit = 0; unit < units; ++unit) {
    const std::byte* group = dense + unit * kUnitBytes<C>;
    std::byte* kept = values + unit * kUnitKeptBytes<C>;
    const unsigned low = compress_group<C, policy>(group, kept);
    const unsigned high = compress_group<C, policy>(group + C::kGroupBytes, kept + C::kKeptBytes);
    metadata[unit] = static_cast<uint8_t>(low | high << kMetadataBitsPerGroup);
    seen |= low | high;
  }
  return (seen & kTooMany) == 0;
}

// The same, whole blocks with `compress_blocks` if there is such a thing.
template <typename C, Policy policy>
bool compress_units(BlockKernels::Compress compress_blocks, const std::byte* dense, int64_t units,
                    std::byte* values, uint8_t* metadata) {
  const int64_t blocks = compress_blocks == nullptr ? 0 : units / kBlockUnits;
  const int64_t done = blocks * kBlockUnits;
  if (blocks > 0 && !compress_blocks(dense, blocks, values, metadata)) return false;
  return compress_groups<C, policy>(dense + done * kUnitBytes<C>, units - done,
                                    values + done * kUnitKeptBytes<C>, metadata + done);
}

template <typename C, Policy policy>
std::optional<GroupPosition> compress_matrix(const DenseView& w, std::byte* values,
                                             uint8_t* metadata, const CpuProps& props) {
  const BlockKernels* kernels = find_block_kernels(props.isa, C::kPattern, C::kDType);
  BlockKernels::Compress compress_blocks = nullptr;
  if (kernels != nullptr) {
    compress_blocks = policy == Policy::kPrune ? kernels->compress_prune : kernels->compress;
  }
  const int64_t groups_per_row = num_groups(C::kPattern, w.k);
  const int64_t units_per_row = metadata_row_bytes(C::kPattern, w.k);
  prefer_huge_pages(values, static_cast<size_t>(w.rows * groups_per_row * C::kKeptBytes));
  prefer_huge_pages(metadata, static_cast<size_t>(w.rows * units_per_row));
  FirstPosition first(groups_per_row);
  for_each_span<C>(w, props.num_threads, [&](const Span& span) {
    const int64_t first_group = span.unit * kGroupsPerMetadataByte;
    if (first.is_before(span.row, first_group)) return;
    std::byte* span_values = values + (span.row * groups_per_row + first_group) * C::kKeptBytes;
    uint8_t* span_metadata = metadata + span.row * units_per_row + span.unit;
    bool is_sparse;
    if (span.is_whole()) {
      is_sparse = compress_units<C, policy>(compress_blocks, span.dense, span.units, span_values,
                                            span_metadata);
    } else {
      std::byte kept[kUnitKeptBytes<C>];  // the second group's place is the next row's
      is_sparse = compress_groups<C, policy>(span.dense, 1, kept, span_metadata);
      std::memcpy(span_values, kept, C::kKeptBytes);
    }
    if (!is_sparse) {
      first.report(span.row, first_group + first_violation<C>(span.dense, span.groups));
    }
  });
  return first.get();
}

}  // namespace

std::optional<GroupPosition> compress(const DenseView& w, Pattern pattern, Policy policy,
                                      void* values, uint8_t* metadata, const CpuProps& props) {
  std::optional<GroupPosition> violation;
  AllCodecs::visit(pattern, w.dtype, [&]<typename C>() {
    const auto compress_it = policy == Policy::kPrune ? compress_matrix<C, Policy::kPrune>
                                                      : compress_matrix<C, Policy::kRaise>;
    violation = compress_it(w, static_cast<std::byte*>(values), metadata, props);
  });
  return violation;
}

}  // namespace sparse_gemm::format
