// The kernels that multiply fp32 as tf32.
#include "cuda/sm80/instantiate.h"

namespace sparse_gemm::cuda::sm80 {

Kernel kernel_of_tf32(int row) {
  return kInstances<Multiply::kTF32>[static_cast<size_t>(row)];
}

}  // namespace sparse_gemm::cuda::sm80
