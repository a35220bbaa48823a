// The spine: validate -> dispatch -> plan -> launch.
#pragma once

#include <span>

#include "core/device_props.h"
#include "core/plan.h"
#include "core/problem.h"
#include "core/status.h"
#include "cuda/launch.h"
#include "cuda/runtime/runtime.h"

namespace sparse_gemm {

// Decides how `problem` would run; `*plan` is written only if the Status is ok.
Status plan_gemm(const Problem& problem, const CpuProps& props, Plan* plan);
// On a device of this machine, or one that is made up.
Status plan_gemm(const Problem& problem, int device, CudaPlan* plan);
Status plan_gemm(const Problem& problem, const CudaProps& props, CudaPlan* plan);

// Every CUDA kernel that plans are made of.
std::span<const CudaKernel> cuda_kernels();

// Computes problem.d. Nothing is written to it unless the Status is ok.
Status run_gemm(const Problem& problem, const CpuProps& props);

// Starts to compute problem.d on the target's stream, as planned for its device. `problem.a` is
// packed (format/packed_order.h); `workspace` has what the plan asks for.
Status run_gemm(const Problem& problem, const CudaPlan& plan, const cuda::Workspace& workspace,
                cuda::Target target);

}  // namespace sparse_gemm
