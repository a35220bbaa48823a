// ldmatrix: a warp loads 8x8 matrices of 16-bit elements from shared memory.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// Four matrices. Lane 8 * i + r gives the address of row r (16 bytes) of matrix i; lane 4 * r + c
// receives elements 2c and 2c + 1 of row r of matrix i in frag[i].
__device__ __forceinline__ void ldmatrix_m8n8_x4_b16(uint32_t (&frag)[4], uint32_t smem_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(frag[0]), "=r"(frag[1]), "=r"(frag[2]), "=r"(frag[3])
               : "r"(smem_row)
               : "memory");
}

// Two matrices: the addresses of lanes 16 to 31 are not used.
__device__ __forceinline__ void ldmatrix_m8n8_x2_b16(uint32_t (&frag)[2], uint32_t smem_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(frag[0]), "=r"(frag[1])
               : "r"(smem_row)
               : "memory");
}

}  // namespace sparse_gemm::cuda::ptx
