// decompress: from canonical values and metadata to a dense matrix.
#include <cstring>

#include "core/huge_pages.h"
#include "format/block_kernels.h"
#include "format/format.h"
#include "format/group.h"
#include "format/span.h"

namespace sparse_gemm::format {
namespace {

template <typename C>
[[gnu::noinline]] void decompress_groups(const std::byte* values, const uint8_t* metadata,
                                         int64_t units, std::byte* dense) {
  for (int64_t unit = 0; unit < units; ++unit) {
    const unsigned byte = metadata[unit];
    const std::byte* kept = values + unit * kUnitKeptBytes<C>;
    std::byte* group = dense + unit * kUnitBytes<C>;
    C::spread(kept, byte & 0xF, group);
    C::spread(kept + C::kKeptBytes, byte >> kMetadataBitsPerGroup, group + C::kGroupBytes);
  }
}

// The same, whole blocks with `kernels` if there are any.
template <typename C>
void decompress_units(const BlockKernels* kernels, const std::byte* values, const uint8_t* metadata,
                      int64_t units, std::byte* dense) {
  const int64_t blocks = kernels == nullptr ? 0 : units / kBlockUnits;
  const int64_t done = blocks * kBlockUnits;
  if (blocks > 0) kernels->decompress(values, metadata, blocks, dense);
  decompress_groups<C>(values + done * kUnitKeptBytes<C>, metadata + done, units - done,
                       dense + done * kUnitBytes<C>);
}

// A row's last unit, of which only a part lies within the row: `groups` of its values are there,
// and `cells` of its dense cells are written.
template <typename C>
void decompress_ragged(const std::byte* values, const uint8_t* metadata, int64_t groups,
                       int64_t cells, int64_t k, std::byte* dense) {
  std::byte kept[kUnitKeptBytes<C>] = {};
  std::byte padded[kUnitBytes<C>];
  std::memcpy(kept, values, static_cast<size_t>(groups * C::kKeptBytes));
  decompress_groups<C>(kept, metadata, 1, padded);
  clear_past_end<C>(padded + (cells - 1) * C::kCellBytes, k);
  std::memcpy(dense, padded, static_cast<size_t>(cells * C::kCellBytes));
}

template <typename C>
void decompress_matrix(const CompressedView& a, std::byte* out, const CpuProps& props) {
  const BlockKernels* kernels = find_block_kernels(props.isa, C::kPattern, C::kDType);
  const auto* values = static_cast<const std::byte*>(a.values);
  const int64_t groups_per_row = num_groups(C::kPattern, a.k);
  const int64_t units_per_row = metadata_row_bytes(C::kPattern, a.k);
  const int64_t whole_units = num_whole_units<C>(a.k);
  const int64_t cells_per_row = num_cells<C>(a.k);
  prefer_huge_pages(out, static_cast<size_t>(a.rows * cells_per_row * C::kCellBytes));
  for_each_tile(a.rows, units_per_row, kUnitBytes<C>, kTileBytes, props.num_threads,
                [&](const Tile& t) {
                  const int64_t whole_end = std::min(t.unit_end, whole_units);
                  for (int64_t row = t.row_begin; row < t.row_end; ++row) {
                    const std::byte* row_values = values + row * groups_per_row * C::kKeptBytes;
                    const uint8_t* row_metadata = a.metadata + row * units_per_row;
                    std::byte* row_out = out + row * cells_per_row * C::kCellBytes;
                    decompress_units<C>(kernels, row_values + t.unit_begin * kUnitKeptBytes<C>,
                                        row_metadata + t.unit_begin, whole_end - t.unit_begin,
                                        row_out + t.unit_begin * kUnitBytes<C>);
                    if (t.unit_end > whole_end) {
                      decompress_ragged<C>(row_values + whole_end * kUnitKeptBytes<C>,
                                           row_metadata + whole_end,
                                           groups_per_row - whole_end * kGroupsPerMetadataByte,
                                           cells_per_row - whole_end * kUnitCells<C>, a.k,
                                           row_out + whole_end * kUnitBytes<C>);
                    }
                  }
                });
}

}  // namespace

void decompress(const CompressedView& a, void* out, const CpuProps& props) {
  AllCodecs::visit(a.pattern, a.dtype, [&]<typename C>() {
    decompress_matrix<C>(a, static_cast<std::byte*>(out), props);
  });
}

}  // namespace sparse_gemm::format
