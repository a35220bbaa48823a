// shfl.sync: words from other lanes of the warp, all of which take part.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// `word` of the lane whose index differs from this lane's in the bits of `kMask`.
template <int kMask>
__device__ __forceinline__ uint32_t shfl_sync_bfly_b32(uint32_t word) {
  uint32_t other;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;"
               : "=r"(other)
               : "r"(word), "n"(kMask));
  return other;
}

}  // namespace sparse_gemm::cuda::ptx
