// The table of kernels as the planner and the launcher see it: kKernels, with the issue slots that
// were counted in each kernel's machine code. Apart from kernels.h, so that another count compiles
// no kernel again.
#pragma once

#include <span>

#include "core/kernel_config.h"

namespace sparse_gemm::cuda::sm80 {

std::span<const CudaKernel> kernel_table();

}  // namespace sparse_gemm::cuda::sm80
