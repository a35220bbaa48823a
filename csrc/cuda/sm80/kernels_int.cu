// The kernels that multiply int8 and int4.
#include "cuda/sm80/instantiate.h"

namespace sparse_gemm::cuda::sm80 {

Kernel kernel_of_int(int row) {
  return kInstances<Multiply::kS8, Multiply::kS4, Multiply::kS4AsS8>[static_cast<size_t>(row)];
}

}  // namespace sparse_gemm::cuda::sm80
