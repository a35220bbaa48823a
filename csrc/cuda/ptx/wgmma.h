// wgmma: sm_90a's matrix instruction of a warpgroup (four warps), dense and with 2:4-sparse A.
//
// D[64,N] += A[64,K] @ B[K,N], asynchronously; D in registers (N/2 floats a thread), B in shared
// memory, A in shared memory or in registers. N is the extent of `d`: 128, 192 or 256. K is 32
// bytes of A as stored, so dense: 16 (fp16) or 32 (fp8), sparse: 32 or 64. B is K-major, A
// row-major.
//
// Order: fence, any number of wgmma, commit, ..., wait. Until the wait nobody touches `d`, the
// registers of A and metadata, or the shared memory that is read.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// Bits 62 and 63 of a matrix descriptor.
enum class MatrixSwizzle : uint64_t { kNone = 0, k128B = 1, k64B = 2 };

// Describes a K-major matrix in shared memory in atoms of eight rows of 64 or 128 bytes, swizzled;
// `stride_bytes` lies between atoms along M or N. The leading-dimension field has no meaning then
// (PTX ISA, "Strides"); 1 is what it is assumed to be. Offsets are in units of 16 bytes.
__device__ __forceinline__ uint64_t matrix_descriptor(uint32_t smem_address, uint32_t stride_bytes,
                                                      MatrixSwizzle swizzle) {
  constexpr uint32_t kAddressMask = 0x3ffff;
  constexpr uint64_t kUnusedLeadingOffset = 1;
  return static_cast<uint64_t>((smem_address & kAddressMask) >> 4) | kUnusedLeadingOffset << 16 |
         static_cast<uint64_t>(stride_bytes >> 4) << 32 | static_cast<uint64_t>(swizzle) << 62;
}

// Before the first wgmma, and whenever ordinary code has written registers that the next one reads.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit_group() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Returns when at most `kPending` of the latest groups are unfinished.
template <int kPending>
__device__ __forceinline__ void wgmma_wait_group() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Inline PTX has no named operands: the accumulators are %0 to %(N/2 - 1), so what follows them is
// numbered by N. D_TEXT_N and D_N are the accumulators in the instruction's text and in the operand
// list, REST_N the next six operands.

#define SPARSE_GEMM_TEN(tens)                                                             \
  "%" #tens "0, %" #tens "1, %" #tens "2, %" #tens "3, %" #tens "4, %" #tens "5, %" #tens \
  "6, %" #tens "7, %" #tens "8, %" #tens "9, "
#define SPARSE_GEMM_D_TEXT_60 \
  SPARSE_GEMM_TEN()           \
  SPARSE_GEMM_TEN(1) SPARSE_GEMM_TEN(2) SPARSE_GEMM_TEN(3) SPARSE_GEMM_TEN(4) SPARSE_GEMM_TEN(5)
#define SPARSE_GEMM_D_TEXT_90 \
  SPARSE_GEMM_D_TEXT_60 SPARSE_GEMM_TEN(6) SPARSE_GEMM_TEN(7) SPARSE_GEMM_TEN(8)
#define SPARSE_GEMM_D_TEXT_128 "{" SPARSE_GEMM_D_TEXT_60 "%60, %61, %62, %63}, "
#define SPARSE_GEMM_D_TEXT_192 "{" SPARSE_GEMM_D_TEXT_90 "%90, %91, %92, %93, %94, %95}, "
#define SPARSE_GEMM_D_TEXT_256                                     \
  "{" SPARSE_GEMM_D_TEXT_90 SPARSE_GEMM_TEN(9) SPARSE_GEMM_TEN(10) \
      SPARSE_GEMM_TEN(11) "%120, %121, %122, %123, %124, %125, %126, %127}, "

#define SPARSE_GEMM_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SPARSE_GEMM_D16(i) \
  SPARSE_GEMM_D4(i), SPARSE_GEMM_D4(i + 4), SPARSE_GEMM_D4(i + 8), SPARSE_GEMM_D4(i + 12)
#define SPARSE_GEMM_D64(i) \
  SPARSE_GEMM_D16(i), SPARSE_GEMM_D16(i + 16), SPARSE_GEMM_D16(i + 32), SPARSE_GEMM_D16(i + 48)
#define SPARSE_GEMM_D_128 SPARSE_GEMM_D64(0)
#define SPARSE_GEMM_D_192 SPARSE_GEMM_D64(0), SPARSE_GEMM_D16(64), SPARSE_GEMM_D16(80)
#define SPARSE_GEMM_D_256 SPARSE_GEMM_D64(0), SPARSE_GEMM_D64(64)

#define SPARSE_GEMM_REST_128 "%64", "%65", "%66", "%67", "%68", "%69"
#define SPARSE_GEMM_REST_192 "%96", "%97", "%98", "%99", "%100", "%101"
#define SPARSE_GEMM_REST_256 "%128", "%129", "%130", "%131", "%132", "%133"

// The four forms of one type and N: dense and sparse, A in shared memory (a descriptor) and in
// registers. After the operands stand: accumulate (a predicate, true here), A and B not negated,
// and for each 16-bit matrix in shared memory, not transposed. The sparsity selector is 0.

#define SPARSE_GEMM_WGMMA(n, kind_and_shape, types, operands, ...)                      \
  asm volatile(                                                                         \
      "{\n.reg .pred accumulate;\n"                                                     \
      "setp.eq.b32 accumulate, 0, 0;\n"                                                 \
      "wgmma.mma_async" kind_and_shape types " " SPARSE_GEMM_D_TEXT_##n operands ";\n}" \
      : SPARSE_GEMM_D_##n                                                               \
      : __VA_ARGS__)

#define SPARSE_GEMM_WGMMA_FORMS(n, name, dense_k, sparse_k, types, not_transposed, r0, r1, r2, r3, \
                                r4, r5)                                                            \
  __device__ __forceinline__ void wgmma_##name(float (&d)[n / 2], uint64_t a, uint64_t b) {        \
    SPARSE_GEMM_WGMMA(n, ".sync.aligned.m64n" #n dense_k, types,                                   \
                      r0 ", " r1 ", accumulate, 1, 1" not_transposed not_transposed, "l"(a),       \
                      "l"(b));                                                                     \
  }                                                                                                \
  __device__ __forceinline__ void wgmma_##name(float (&d)[n / 2], const uint32_t (&a)[4],          \
                                               uint64_t b) {                                       \
    SPARSE_GEMM_WGMMA(n, ".sync.aligned.m64n" #n dense_k, types,                                   \
                      "{" r0 ", " r1 ", " r2 ", " r3 "}, " r4 ", accumulate, 1, 1" not_transposed, \
                      "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                         \
  }                                                                                                \
  __device__ __forceinline__ void wgmma_sp_##name(float (&d)[n / 2], uint64_t a, uint64_t b,       \
                                                  uint32_t metadata) {                             \
    SPARSE_GEMM_WGMMA(n, ".sp.sync.aligned.m64n" #n sparse_k, types,                               \
                      r0 ", " r1 ", " r2 ", 0, accumulate, 1, 1" not_transposed not_transposed,    \
                      "l"(a), "l"(b), "r"(metadata));                                              \
  }                                                                                                \
  __device__ __forceinline__ void wgmma_sp_##name(float (&d)[n / 2], const uint32_t (&a)[4],       \
                                                  uint64_t b, uint32_t metadata) {                 \
    SPARSE_GEMM_WGMMA(n, ".sp.sync.aligned.m64n" #n sparse_k, types,                               \
                      "{" r0 ", " r1 ", " r2 ", " r3 "}, " r4 ", " r5                              \
                      ", 0, accumulate, 1, 1" not_transposed,                                      \
                      "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(metadata));          \
  }

// REST_N is six arguments only once it has been expanded: hence the step in between.
#define SPARSE_GEMM_WGMMA_EXPANDED(...) SPARSE_GEMM_WGMMA_FORMS(__VA_ARGS__)
#define SPARSE_GEMM_WGMMA_TYPES(n)                                                              \
  SPARSE_GEMM_WGMMA_EXPANDED(n, f16, "k16", "k32", ".f32.f16.f16", ", 0", SPARSE_GEMM_REST_##n) \
  SPARSE_GEMM_WGMMA_EXPANDED(n, e4m3, "k32", "k64", ".f32.e4m3.e4m3", "", SPARSE_GEMM_REST_##n)

SPARSE_GEMM_WGMMA_TYPES(128)
SPARSE_GEMM_WGMMA_TYPES(192)
SPARSE_GEMM_WGMMA_TYPES(256)

}  // namespace sparse_gemm::cuda::ptx
