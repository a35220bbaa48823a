#include "cpu/kernel_table.h"
#include "cpu/simd_avx2.h"

namespace sparse_gemm::cpu {

std::span<const KernelRow> avx2_kernels(DType activations) {
  return lane_kernels<Avx2>(activations);
}

}  // namespace sparse_gemm::cpu
