#include "cuda/sm80/launch.h"

#include <array>
#include <atomic>
#include <cstdint>

#include "cuda/runtime/cuda_status.h"
#include "cuda/runtime/launch_kernel.h"
#include "cuda/sm80/kernel_families.h"
#include "cuda/sm80/kernel_table.h"
#include "cuda/sm80/kernels.h"

namespace sparse_gemm::cuda::sm80 {
namespace {

using KernelOf = Kernel (*)(int row);
constexpr KernelOf kFamilies[] = {kernel_of_f16,         kernel_of_bf16,      kernel_of_tf32,
                                  kernel_of_int,         kernel_of_fp8,       kernel_of_s8_weights,
                                  kernel_of_fp8_weights, kernel_of_s4_weights};

std::array<Kernel, kNumKernels> find_kernels() {
  std::array<Kernel, kNumKernels> kernels = {};
  for (int row = 0; row < kNumKernels; ++row) {
    for (const KernelOf kernel_of : kFamilies) {
      if (const Kernel kernel = kernel_of(row)) kernels[static_cast<size_t>(row)] = kernel;
    }
  }
  return kernels;
}

// A kernel must ask for more shared memory than 48 KB, once on each device.
Status allow_shared_bytes(Kernel kernel, size_t row, int shared_bytes) {
  constexpr int kSharedBytesWithoutAsking = 48 * 1024;
  constexpr int kDevicesRemembered = 64;
  static std::array<std::atomic<uint64_t>, kNumKernels> asked;  // a bit a device
  if (shared_bytes <= kSharedBytesWithoutAsking) return Status::ok();
  int device = 0;
  cudaError_t error = cudaGetDevice(&device);
  const uint64_t bit = device < kDevicesRemembered ? uint64_t{1} << device : 0;
  if (error == cudaSuccess && (asked[row].load(std::memory_order_relaxed) & bit) == 0) {
    error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                 cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    if (error == cudaSuccess) asked[row].fetch_or(bit, std::memory_order_relaxed);
  }
  return cuda_status(error, "asking for shared memory");
}

}  // namespace

Status launch(const GemmParams& params, const CudaPlan& plan, uintptr_t stream) {
  static const std::array<Kernel, kNumKernels> kernels = find_kernels();
  const size_t row = static_cast<size_t>(plan.kernel - kernel_table().data());
  const int shared_bytes = plan.kernel->shared_bytes;
  if (Status status = allow_shared_bytes(kernels[row], row, shared_bytes); !status.is_ok()) {
    return status;
  }
  return launch_kernel(
      kernels[row], "launching the matrix product",
      {plan.schedule.num_ctas, plan.kernel->config->tile.num_threads(), shared_bytes}, stream,
      params);
}

}  // namespace sparse_gemm::cuda::sm80
