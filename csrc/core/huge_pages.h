// Large outputs on huge pages: memory that was just allocated is first touched by us, and a fault
// for each 4 KiB costs several times what computing them does (docs/kernels.md).
#pragma once

#include <cstddef>

namespace sparse_gemm {

// Asks the system to back [data, data + bytes) with huge pages, where they lie wholly within it and
// are not in use yet. A hint: nothing happens to small arrays, or where there are no such pages.
void prefer_huge_pages(void* data, size_t bytes);

}  // namespace sparse_gemm
