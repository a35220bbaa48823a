// mma.sp: D[16,8] += A[16,32] * B[32,8] by one warp, A 2:4 sparse.
//
// a: the kept values, as of a dense 16x16 A: lane 4q + t has columns 2t, 2t + 1 (registers 0 and 1)
// and 2t + 8, 2t + 9 (registers 2 and 3) of the rows q (0 and 2) and q + 8 (1 and 3).
// b: lane 4q + t has of column q the rows 8i + 2t and 8i + 2t + 1 in register i.
// d: lane 4q + t has the columns 2t and 2t + 1 of the rows q (0, 1) and q + 8 (2, 3).
// e: metadata; the lanes 4q + 2 * kSelector and the next one of each quad supply it.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

template <int kSelector>
__device__ __forceinline__ void mma_sp_m16n8k32_f32_f16_f16_f32(float (&d)[4], const uint4& a,
                                                                const uint32_t (&b)[4],
                                                                uint32_t e) {
  asm("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, %13;"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(e),
        "n"(kSelector));
}

template <int kSelector>
__device__ __forceinline__ void mma_sp_m16n8k32_f32_bf16_bf16_f32(float (&d)[4], const uint4& a,
                                                                  const uint32_t (&b)[4],
                                                                  uint32_t e) {
  asm("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, %13;"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(e),
        "n"(kSelector));
}

}  // namespace sparse_gemm::cuda::ptx
