// prune: from a dense matrix to a dense one in which every group has few enough non-zeros.
#include <cstring>

#include "core/huge_pages.h"
#include "format/block_kernels.h"
#include "format/format.h"
#include "format/group.h"
#include "format/span.h"

namespace sparse_gemm::format {
namespace {

template <typename C>
[[gnu::noinline]] void prune_groups(const std::byte* dense, int64_t groups, std::byte* out) {
  for (int64_t offset = 0; offset < groups * C::kGroupBytes; offset += C::kGroupBytes) {
    C::mask_places(dense + offset, C::largest_mask(dense + offset), out + offset);
  }
}

// The same, whole blocks with `kernels` if there are any.
template <typename C>
void prune_units(const BlockKernels* kernels, const std::byte* dense, int64_t groups,
                 std::byte* out) {
  const bool has_kernel = kernels != nullptr && kernels->prune != nullptr;
  const int64_t blocks = has_kernel ? groups / kBlockGroups : 0;
  const int64_t done = blocks * kBlockGroups;
  if (blocks > 0) kernels->prune(dense, blocks, out);
  prune_groups<C>(dense + done * C::kGroupBytes, groups - done, out + done * C::kGroupBytes);
}

}  // namespace

void prune(const DenseView& w, Pattern pattern, void* out, const CpuProps& props) {
  AllCodecs::visit(pattern, w.dtype, [&]<typename C>() {
    const BlockKernels* kernels = find_block_kernels(props.isa, C::kPattern, C::kDType);
    const int64_t row_bytes = num_cells<C>(w.k) * C::kCellBytes;
    prefer_huge_pages(out, static_cast<size_t>(w.rows * row_bytes));
    for_each_span<C>(w, props.num_threads, [&](const Span& span) {
      std::byte* target =
          static_cast<std::byte*>(out) + span.row * row_bytes + span.unit * kUnitBytes<C>;
      const int64_t bytes = span.cells * C::kCellBytes;
      if (bytes == span.units * kUnitBytes<C>) {
        prune_units<C>(kernels, span.dense, span.groups, target);
      } else {
        std::byte padded[kUnitBytes<C>];  // what lies past K belongs to the next row
        prune_groups<C>(span.dense, span.groups, padded);
        std::memcpy(target, padded, static_cast<size_t>(bytes));
      }
    });
  });
}

}  // namespace sparse_gemm::format
