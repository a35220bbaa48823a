#include "format/block_kernel.h"
#include "format/simd_avx512_vnni.h"

namespace sparse_gemm::format {

std::span<const BlockKernels> avx512_vnni_block_kernels() {
  return kBlockKernels<Avx512Vnni>;
}

}  // namespace sparse_gemm::format
