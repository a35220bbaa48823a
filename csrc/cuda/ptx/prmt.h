// prmt: four of the eight bytes of two words.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// Nibble i of `selector` says which byte becomes byte i: 0 to 3 of `low`, 4 to 7 of `high`.
__device__ __forceinline__ uint32_t prmt_b32(uint32_t low, uint32_t high, uint32_t selector) {
  uint32_t bytes;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(bytes) : "r"(low), "r"(high), "r"(selector));
  return bytes;
}

}  // namespace sparse_gemm::cuda::ptx
