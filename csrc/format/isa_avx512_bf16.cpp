#include "format/block_kernel.h"
#include "format/simd_avx512_bf16.h"

namespace sparse_gemm::format {

std::span<const BlockKernels> avx512_bf16_block_kernels() {
  return kBlockKernels<Avx512Bf16>;
}

}  // namespace sparse_gemm::format
