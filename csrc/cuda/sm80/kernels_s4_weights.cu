// The kernels that multiply int4 weights and 16-bit activations.
#include "cuda/sm80/instantiate.h"

namespace sparse_gemm::cuda::sm80 {

Kernel kernel_of_s4_weights(int row) {
  return kInstances<Multiply::kS4F16, Multiply::kS4BF16>[static_cast<size_t>(row)];
}

}  // namespace sparse_gemm::cuda::sm80
