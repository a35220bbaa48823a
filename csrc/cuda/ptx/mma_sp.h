// mma.sp: D[16,8] += A[16,K] * B[K,8] by one warp, A sparse. Whatever the types, A has 32 bytes of
// kept values a row and B 64 bytes a column. With c = 4 / bytes of an element (8 where it has four
// bits):
//
// a: kept values, as of a dense A of half the columns: lane 4q + t has the columns ct to ct + c - 1
//    (registers 0 and 1) and those 4c further (2 and 3) of the rows q (0 and 2) and q + 8 (1 and
//    3).
// b: lane 4q + t has of column q the rows 4ci + ct to 4ci + ct + c - 1 in register i.
// d: lane 4q + t has the columns 2t and 2t + 1 of the rows q (0, 1) and q + 8 (2, 3); as halves
//    two to a register.
// e: metadata. Of m16n8k32 on 16-bit types and of m16n8k16 the lanes 4q + 2 * kSelector and the
// next
//    one of each quad supply it, of the others all lanes.
//
// Integer forms saturate: nothing that is summed here comes near the bounds of int32.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

#define SPARSE_GEMM_MMA_SP(name, selectors, Number, constraint, text)                            \
  template <int kSelector>                                                                       \
  __device__ __forceinline__ void mma_sp_##name(Number(&d)[4], const uint4& a,                   \
                                                const uint32_t (&b)[4], uint32_t e) {            \
    static_assert(kSelector < selectors);                                                        \
    asm("mma.sp::ordered_metadata.sync.aligned." text                                            \
        " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, %13;"   \
        : "+" constraint(d[0]), "+" constraint(d[1]), "+" constraint(d[2]), "+" constraint(d[3]) \
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]),    \
          "r"(e), "n"(kSelector));                                                               \
  }

SPARSE_GEMM_MMA_SP(m16n8k32_f32_f16_f16_f32, 2, float, "f", "m16n8k32.row.col.f32.f16.f16.f32")
SPARSE_GEMM_MMA_SP(m16n8k32_f32_bf16_bf16_f32, 2, float, "f", "m16n8k32.row.col.f32.bf16.bf16.f32")
SPARSE_GEMM_MMA_SP(m16n8k16_f32_tf32_tf32_f32, 2, float, "f", "m16n8k16.row.col.f32.tf32.tf32.f32")
SPARSE_GEMM_MMA_SP(m16n8k64_s32_s8_s8_s32, 1, int32_t, "r",
                   "m16n8k64.row.col.satfinite.s32.s8.s8.s32")
SPARSE_GEMM_MMA_SP(m16n8k128_s32_s4_s4_s32, 1, int32_t, "r",
                   "m16n8k128.row.col.satfinite.s32.s4.s4.s32")
// From sm_89 on.
SPARSE_GEMM_MMA_SP(m16n8k64_f32_e4m3_e4m3_f32, 1, float, "f", "m16n8k64.row.col.f32.e4m3.e4m3.f32")
SPARSE_GEMM_MMA_SP(m16n8k64_f32_e4m3_e5m2_f32, 1, float, "f", "m16n8k64.row.col.f32.e4m3.e5m2.f32")
SPARSE_GEMM_MMA_SP(m16n8k64_f32_e5m2_e4m3_f32, 1, float, "f", "m16n8k64.row.col.f32.e5m2.e4m3.f32")
SPARSE_GEMM_MMA_SP(m16n8k64_f32_e5m2_e5m2_f32, 1, float, "f", "m16n8k64.row.col.f32.e5m2.e5m2.f32")

#undef SPARSE_GEMM_MMA_SP

template <int kSelector>
__device__ __forceinline__ void mma_sp_m16n8k32_f16_f16_f16_f16(uint32_t (&d)[2], const uint4& a,
                                                                const uint32_t (&b)[4],
                                                                uint32_t e) {
  static_assert(kSelector < 2);
  asm("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f16.f16.f16.f16 "
      "{%0, %1}, {%2, %3, %4, %5}, {%6, %7, %8, %9}, {%0, %1}, %10, %11;"
      : "+r"(d[0]), "+r"(d[1])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(e),
        "n"(kSelector));
}

}  // namespace sparse_gemm::cuda::ptx
