// Launches the kernel of a plan whose config is a row of sm80/configs.h.
#pragma once

#include "core/plan.h"
#include "core/problem.h"
#include "core/status.h"

namespace sparse_gemm::cuda::sm80 {

// On the current device. `stream` is a cudaStream_t.
Status launch(const Problem& problem, const CudaPlan& plan, uintptr_t stream);

}  // namespace sparse_gemm::cuda::sm80
