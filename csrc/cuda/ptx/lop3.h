// lop3: any logical function of three words. Written out because of constants: as C++ expressions,
// two of them become two instructions.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// The look-up table is the function of these three.
inline constexpr uint8_t kLop3X = 0xf0;
inline constexpr uint8_t kLop3Y = 0xcc;
inline constexpr uint8_t kLop3Z = 0xaa;

template <uint8_t kTable>
__device__ __forceinline__ uint32_t lop3_b32(uint32_t x, uint32_t y, uint32_t z) {
  uint32_t word;
  asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(word) : "r"(x), "r"(y), "r"(z), "n"(kTable));
  return word;
}

}  // namespace sparse_gemm::cuda::ptx
