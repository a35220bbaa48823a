// prune: from a dense matrix to a dense one in which every group has few enough non-zeros.
#include <cstring>

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

}  // namespace

void prune(const DenseView& w, Pattern pattern, void* out, int num_threads) {
  AllCodecs::visit(pattern, w.dtype, [&]<typename C>() {
    const int64_t row_bytes = num_cells<C>(w.k) * C::kCellBytes;
    for_each_span<C>(w, num_threads, [&](const Span& span) {
      std::byte* target =
          static_cast<std::byte*>(out) + span.row * row_bytes + span.unit * kUnitBytes<C>;
      const int64_t bytes = span.cells * C::kCellBytes;
      if (bytes == span.units * kUnitBytes<C>) {
        prune_groups<C>(span.dense, span.groups, target);
      } else {
        std::byte padded[kUnitBytes<C>];  // what lies past K belongs to the next row
        prune_groups<C>(span.dense, span.groups, padded);
        std::memcpy(target, padded, static_cast<size_t>(bytes));
      }
    });
  });
}

}  // namespace sparse_gemm::format
