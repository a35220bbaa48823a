// The kernels that multiply fp8.
#include "cuda/sm80/instantiate.h"

namespace sparse_gemm::cuda::sm80 {

Kernel kernel_of_fp8(int row) {
  return kInstances<Multiply::kE4M3, Multiply::kE4M3E5M2, Multiply::kE5M2E4M3,
                    Multiply::kE5M2>[static_cast<size_t>(row)];
}

}  // namespace sparse_gemm::cuda::sm80
