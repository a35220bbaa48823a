#include "cpu/kernel_table.h"
#include "cpu/row_forms_avx512_bf16.h"
#include "cpu/simd_avx512_bf16.h"

namespace sparse_gemm::cpu {

std::span<const KernelRow> avx512_bf16_kernels() {
  return kKernelRows<Avx512Bf16>;
}

}  // namespace sparse_gemm::cpu
