#include "cpu/kernel_table.h"
#include "cpu/simd_avx512.h"

namespace sparse_gemm::cpu {

std::span<const KernelRow> avx512_kernels(DType activations) {
  return lane_kernels<Avx512>(activations);
}

}  // namespace sparse_gemm::cpu
