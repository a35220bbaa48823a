// fma on pairs of 16-bit floats, rounding to nearest even; subnormals count.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

__device__ __forceinline__ uint32_t fma_rn_f16x2(uint32_t x, uint32_t y, uint32_t z) {
  uint32_t sum;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(x), "r"(y), "r"(z));
  return sum;
}

__device__ __forceinline__ uint32_t fma_rn_bf16x2(uint32_t x, uint32_t y, uint32_t z) {
  uint32_t sum;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(x), "r"(y), "r"(z));
  return sum;
}

}  // namespace sparse_gemm::cuda::ptx
