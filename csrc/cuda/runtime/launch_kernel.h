// launch_kernel: starts a kernel, and tells what became of that launch alone.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/runtime/cuda_status.h"

namespace sparse_gemm::cuda {

struct LaunchShape {
  int64_t num_ctas;
  int num_threads;  // of a CTA
  int shared_bytes = 0;
};

// On the current device; `stream` is a cudaStream_t. kernel<<<...>>> returns nothing, and
// cudaGetLastError after it also answers for whatever failed earlier on this thread.
template <typename... Params, typename... Args>
Status launch_kernel(void (*kernel)(Params...), const char* what, const LaunchShape& shape,
                     uintptr_t stream, const Args&... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(shape.num_ctas));
  config.blockDim = dim3(static_cast<unsigned>(shape.num_threads));
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = reinterpret_cast<cudaStream_t>(stream);
  return cuda_status(cudaLaunchKernelEx(&config, kernel, args...), what);
}

}  // namespace sparse_gemm::cuda
