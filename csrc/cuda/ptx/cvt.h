// cvt: between float and pairs of 16-bit floats, rounding to nearest even. `low` goes to bits
// 0..15.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

__device__ __forceinline__ uint32_t cvt_rn_f16x2_f32(float high, float low) {
  uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ uint32_t cvt_rn_bf16x2_f32(float high, float low) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ float cvt_f32_f16(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

// Rounds the significand of a float to the 10 bits that tf32 has, halves away from zero.
__device__ __forceinline__ uint32_t cvt_rna_tf32_f32(uint32_t bits) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

// sm_89 and later. Bytes 0 and 1 of a word, or 2 and 3.
__device__ __forceinline__ uint32_t cvt_rn_f16x2_e4m3x2_lower(uint32_t bytes) {
  uint32_t pair;
  asm("{\n.reg .b16 lower, upper;\n"
      "mov.b32 {lower, upper}, %1;\n"
      "cvt.rn.f16x2.e4m3x2 %0, lower;\n}"
      : "=r"(pair)
      : "r"(bytes));
  return pair;
}

__device__ __forceinline__ uint32_t cvt_rn_f16x2_e4m3x2_upper(uint32_t bytes) {
  uint32_t pair;
  asm("{\n.reg .b16 lower, upper;\n"
      "mov.b32 {lower, upper}, %1;\n"
      "cvt.rn.f16x2.e4m3x2 %0, upper;\n}"
      : "=r"(pair)
      : "r"(bytes));
  return pair;
}

}  // namespace sparse_gemm::cuda::ptx
