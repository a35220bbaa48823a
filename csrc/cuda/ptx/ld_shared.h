// ld.shared: loads as wide as the code says (the compiler splits and joins its own), and one under
// a predicate, without a branch. `smem` is an address in the shared window.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

__device__ __forceinline__ uint32_t ld_shared_u32(uint32_t smem) {
  uint32_t word;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(smem) : "memory");
  return word;
}

__device__ __forceinline__ uint2 ld_shared_v2_u32(uint32_t smem) {
  uint2 words;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];"
               : "=r"(words.x), "=r"(words.y)
               : "r"(smem)
               : "memory");
  return words;
}

__device__ __forceinline__ uint4 ld_shared_v4_u32(uint32_t smem) {
  uint4 words;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "r"(smem)
               : "memory");
  return words;
}

// The word at `smem` if `condition` holds, else `otherwise`, and nothing is read.
__device__ __forceinline__ uint32_t ld_shared_u32_if(bool condition, uint32_t smem,
                                                     uint32_t otherwise) {
  asm volatile(
      "{\n.reg .pred condition;\n"
      "setp.ne.u32 condition, %1, 0;\n"
      "@condition ld.shared.u32 %0, [%2];\n}"
      : "+r"(otherwise)
      : "r"(static_cast<uint32_t>(condition)), "r"(smem)
      : "memory");
  return otherwise;
}

}  // namespace sparse_gemm::cuda::ptx
