// add: of pairs of 16-bit floats.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

__device__ __forceinline__ uint32_t add_rn_f16x2(uint32_t x, uint32_t y) {
  uint32_t sum;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(sum) : "r"(x), "r"(y));
  return sum;
}

}  // namespace sparse_gemm::cuda::ptx
