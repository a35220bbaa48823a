// The compute capability that the code is being compiled for, 10 * major + minor; 0 for the host.
#pragma once

namespace sparse_gemm::cuda {

#ifdef __CUDA_ARCH__
inline constexpr int kCapability = __CUDA_ARCH__ / 10;
#else
inline constexpr int kCapability = 0;
#endif

}  // namespace sparse_gemm::cuda
