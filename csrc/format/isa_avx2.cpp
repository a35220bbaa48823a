#include "format/block_kernel.h"
#include "format/simd_avx2.h"

namespace sparse_gemm::format {

std::span<const BlockKernels> avx2_block_kernels() {
  return kBlockKernels<Avx2>;
}

}  // namespace sparse_gemm::format
