#include "cpu/kernel_table.h"
#include "cpu/row_forms_avx512_bf16.h"
#include "cpu/simd_avx512_bf16.h"

namespace sparse_gemm::cpu {

// Of bfloat16 alone: for other types BF16 has nothing.
std::span<const KernelRow> avx512_bf16_kernels(DType activations) {
  if (activations != DType::kBFloat16) return {};
  return kFloatRows<Avx512Bf16<float>, bfloat16>;
}

}  // namespace sparse_gemm::cpu
