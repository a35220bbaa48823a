// The kernels of sm80/configs.h, one for each row, element type and way to load B.
#include <array>
#include <cstdint>
#include <utility>

#include "cuda/runtime/cuda_status.h"
#include "cuda/runtime/launch_kernel.h"
#include "cuda/sm80/configs.h"
#include "cuda/sm80/gemm_kernel.h"
#include "cuda/sm80/launch.h"

namespace sparse_gemm::cuda::sm80 {
namespace {

using Kernel = void (*)(Problem);

constexpr DType kDTypes[] = {DType::kFloat16, DType::kBFloat16};

// [dtype][b_load]
using KernelsOfConfig = std::array<std::array<Kernel, kNumBLoads>, std::size(kDTypes)>;

template <int kRow, DType kDType>
constexpr std::array<Kernel, kNumBLoads> kernels_of_dtype() {
  return {&gemm_kernel<kRow, kDType, BLoad::kAligned>, &gemm_kernel<kRow, kDType, BLoad::kAny>};
}

template <int... kRow>
constexpr std::array<KernelsOfConfig, sizeof...(kRow)> make_table(
    std::integer_sequence<int, kRow...>) {
  return {KernelsOfConfig{kernels_of_dtype<kRow, kDTypes[0]>(),
                          kernels_of_dtype<kRow, kDTypes[1]>()}...};
}

constexpr auto kKernels = make_table(std::make_integer_sequence<int, std::size(kConfigs)>{});

Kernel find_kernel(const CudaPlan& plan, DType dtype) {
  const size_t row = static_cast<size_t>(plan.config - kConfigs);
  const size_t dtype_idx = dtype == kDTypes[0] ? 0 : 1;
  return kKernels[row][dtype_idx][static_cast<size_t>(plan.b_load)];
}

}  // namespace

Status launch(const Problem& problem, const CudaPlan& plan, uintptr_t stream) {
  constexpr int64_t kSharedBytesWithoutOptIn = 48 * 1024;
  const Kernel kernel = find_kernel(plan, problem.a.dtype);
  const int shared_bytes = static_cast<int>(plan.shared_memory_bytes);
  if (shared_bytes > kSharedBytesWithoutOptIn) {
    const cudaError_t error =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
    if (error != cudaSuccess) return cuda_status(error, "asking for shared memory");
  }
  return launch_kernel(kernel, "launching the matrix product",
                       {plan.num_ctas, plan.config->tile.num_threads(), shared_bytes}, stream,
                       problem);
}

}  // namespace sparse_gemm::cuda::sm80
