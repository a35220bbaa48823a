#include "cpu/kernel_table.h"
#include "cpu/simd_avx512.h"

namespace sparse_gemm::cpu {

std::span<const KernelRow> avx512_kernels() {
  return kKernelRows<Avx512>;
}

}  // namespace sparse_gemm::cpu
