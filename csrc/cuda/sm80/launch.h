// Launches the kernel of a plan: a row of sm80/kernels.h.
#pragma once

#include <cstdint>

#include "core/plan.h"
#include "core/status.h"
#include "cuda/device/params.h"

namespace sparse_gemm::cuda::sm80 {

// On the current device. `stream` is a cudaStream_t.
Status launch(const GemmParams& params, const CudaPlan& plan, uintptr_t stream);

}  // namespace sparse_gemm::cuda::sm80
