// cvt.pack: int32 to int8, clamped to its range. Bits 0..7 become `low`, 8..15 `high`, and 16..31
// the lower half of `above`.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

__device__ __forceinline__ uint32_t cvt_pack_sat_s8_s32_b32(int32_t high, int32_t low,
                                                            uint32_t above) {
  uint32_t packed;
  asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %3;" : "=r"(packed) : "r"(high), "r"(low), "r"(above));
  return packed;
}

}  // namespace sparse_gemm::cuda::ptx
