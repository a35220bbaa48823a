#include "cpu/kernel_table.h"
#include "cpu/simd_avx2.h"

namespace sparse_gemm::cpu {

std::span<const KernelRow> avx2_kernels() {
  return kKernelRows<Avx2>;
}

}  // namespace sparse_gemm::cpu
