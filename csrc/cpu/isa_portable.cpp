#include "cpu/kernel_table.h"
#include "cpu/simd_portable.h"

namespace sparse_gemm::cpu {

std::span<const KernelRow> portable_kernels(DType activations) {
  return lane_kernels<Portable>(activations);
}

}  // namespace sparse_gemm::cpu
