// The kernels that multiply fp8 weights and 16-bit activations.
#include "cuda/sm80/instantiate.h"

namespace sparse_gemm::cuda::sm80 {

Kernel kernel_of_fp8_weights(int row) {
  return kInstances<Multiply::kE4M3F16, Multiply::kE4M3BF16, Multiply::kE5M2F16,
                    Multiply::kE5M2BF16>[static_cast<size_t>(row)];
}

}  // namespace sparse_gemm::cuda::sm80
