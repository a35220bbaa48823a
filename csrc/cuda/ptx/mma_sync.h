// mma.sync and mma.sp: the matrix instructions of a warp, every type in the shape of largest K.
//
// D[16,8] += A[16,K] @ B[K,8]. All have four 32-bit registers of A a lane and four accumulators; B
// has two registers, or four where A is sparse.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// What an instruction needs of a device to be one of the machine's own. Elsewhere fp8 is converted
// to fp16 first, and int4 takes hundreds of instructions.
enum class Needs { kSm80, kFp8, kInt4 };

__host__ __device__ constexpr bool is_native(Needs needs, int capability_times_ten) {
  switch (needs) {
    case Needs::kSm80:
      return capability_times_ten >= 80;
    case Needs::kFp8:
      return capability_times_ten == 89 || capability_times_ten >= 120;
    case Needs::kInt4:
      return capability_times_ten >= 80 && capability_times_ten <= 89;
  }
  return false;
}

#define SPARSE_GEMM_MMA(Name, K, types, Number, constraint, needs)                          \
  struct Name {                                                                             \
    using Accumulator = Number;                                                             \
    static constexpr bool kSparse = false;                                                  \
    static constexpr int kM = 16, kN = 8, kK = K;                                           \
    static constexpr Needs kNeeds = Needs::needs;                                           \
    static constexpr int kBRegisters = 2;                                                   \
    static constexpr const char* kInstruction = "mma.sync.m16n8k" #K;                       \
    __device__ __forceinline__ static void run(Accumulator (&d)[4], const uint32_t (&a)[4], \
                                               const uint32_t (&b)[2], uint32_t) {          \
      asm volatile("mma.sync.aligned.m16n8k" #K ".row.col." types                           \
                   " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"       \
                   : constraint(d[0]), constraint(d[1]), constraint(d[2]), constraint(d[3]) \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));     \
    }                                                                                       \
  };

// Sparsity selector 0.
#define SPARSE_GEMM_MMA_SP(Name, K, types, Number, constraint, needs)                            \
  struct Name {                                                                                  \
    using Accumulator = Number;                                                                  \
    static constexpr bool kSparse = true;                                                        \
    static constexpr int kM = 16, kN = 8, kK = K;                                                \
    static constexpr Needs kNeeds = Needs::needs;                                                \
    static constexpr int kBRegisters = 4;                                                        \
    static constexpr const char* kInstruction = "mma.sp.m16n8k" #K;                              \
    __device__ __forceinline__ static void run(Accumulator (&d)[4], const uint32_t (&a)[4],      \
                                               const uint32_t (&b)[4], uint32_t metadata) {      \
      asm volatile(                                                                              \
          "mma.sp::ordered_metadata.sync.aligned.m16n8k" #K ".row.col." types                    \
          " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, 0x0;" \
          : constraint(d[0]), constraint(d[1]), constraint(d[2]), constraint(d[3])               \
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]),         \
            "r"(b[3]), "r"(metadata));                                                           \
    }                                                                                            \
  };

SPARSE_GEMM_MMA(MmaF16, 16, "f32.f16.f16.f32", float, "+f", kSm80)
SPARSE_GEMM_MMA(MmaBf16, 16, "f32.bf16.bf16.f32", float, "+f", kSm80)
SPARSE_GEMM_MMA(MmaTf32, 8, "f32.tf32.tf32.f32", float, "+f", kSm80)
SPARSE_GEMM_MMA(MmaE4m3, 32, "f32.e4m3.e4m3.f32", float, "+f", kFp8)
SPARSE_GEMM_MMA(MmaS8, 32, "satfinite.s32.s8.s8.s32", int32_t, "+r", kSm80)
SPARSE_GEMM_MMA(MmaS4, 64, "satfinite.s32.s4.s4.s32", int32_t, "+r", kInt4)

SPARSE_GEMM_MMA_SP(MmaSpF16, 32, "f32.f16.f16.f32", float, "+f", kSm80)
SPARSE_GEMM_MMA_SP(MmaSpBf16, 32, "f32.bf16.bf16.f32", float, "+f", kSm80)
SPARSE_GEMM_MMA_SP(MmaSpTf32, 16, "f32.tf32.tf32.f32", float, "+f", kSm80)
SPARSE_GEMM_MMA_SP(MmaSpE4m3, 64, "f32.e4m3.e4m3.f32", float, "+f", kFp8)
SPARSE_GEMM_MMA_SP(MmaSpS8, 64, "satfinite.s32.s8.s8.s32", int32_t, "+r", kSm80)
SPARSE_GEMM_MMA_SP(MmaSpS4, 128, "satfinite.s32.s4.s4.s32", int32_t, "+r", kInt4)

}  // namespace sparse_gemm::cuda::ptx
