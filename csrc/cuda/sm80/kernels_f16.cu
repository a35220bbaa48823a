// The kernels that multiply fp16.
#include "cuda/sm80/instantiate.h"

namespace sparse_gemm::cuda::sm80 {

Kernel kernel_of_f16(int row) {
  return kInstances<Multiply::kF16, Multiply::kF16AccF16>[static_cast<size_t>(row)];
}

}  // namespace sparse_gemm::cuda::sm80
