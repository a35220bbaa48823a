// mov: packs and unpacks halves of a word, in a way that ptxas folds into the operands of
// instructions on pairs.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// The lower half of `pair` twice.
__device__ __forceinline__ uint32_t mov_b32_lower_twice(uint32_t pair) {
  uint32_t twice;
  asm("{\n.reg .b16 lower, upper;\n"
      "mov.b32 {lower, upper}, %1;\n"
      "mov.b32 %0, {lower, lower};\n}"
      : "=r"(twice)
      : "r"(pair));
  return twice;
}

__device__ __forceinline__ uint32_t mov_b32_upper_twice(uint32_t pair) {
  uint32_t twice;
  asm("{\n.reg .b16 lower, upper;\n"
      "mov.b32 {lower, upper}, %1;\n"
      "mov.b32 %0, {upper, upper};\n}"
      : "=r"(twice)
      : "r"(pair));
  return twice;
}

}  // namespace sparse_gemm::cuda::ptx
