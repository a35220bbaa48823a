#include "core/huge_pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace sparse_gemm {
namespace {

constexpr uintptr_t kHugePage = uintptr_t{1} << 21;
// Smaller arrays come from memory that the allocator has at hand; NumPy draws the line here, too.
constexpr size_t kMinBytes = size_t{1} << 22;

}  // namespace

void prefer_huge_pages(void* data, size_t bytes) {
  if (bytes < kMinBytes) return;
#ifdef MADV_HUGEPAGE
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t last = (begin + bytes) / kHugePage * kHugePage;
  // Where the kernel has none, the array lies on small pages as it would have.
  (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace sparse_gemm
