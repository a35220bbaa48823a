// The kernels that multiply bf16.
#include "cuda/sm80/instantiate.h"

namespace sparse_gemm::cuda::sm80 {

Kernel kernel_of_bf16(int row) {
  return kInstances<Multiply::kBF16>[static_cast<size_t>(row)];
}

}  // namespace sparse_gemm::cuda::sm80
