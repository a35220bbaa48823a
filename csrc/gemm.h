// The spine: validate -> dispatch -> plan -> launch.
#pragma once

#include "core/device_props.h"
#include "core/plan.h"
#include "core/problem.h"
#include "core/status.h"
#include "cuda/runtime/runtime.h"

namespace sparse_gemm {

// Decides how `problem` would run; `*plan` is written only if the Status is ok.
Status plan_gemm(const Problem& problem, const CpuProps& props, Plan* plan);
Status plan_gemm(const Problem& problem, const CudaProps& props, CudaPlan* plan);

// Computes problem.d. Nothing is written to it unless the Status is ok.
Status run_gemm(const Problem& problem, const CpuProps& props);

// Starts to compute problem.d on the target's stream. `problem.a` is packed
// (format/packed_order.h).
Status run_gemm(const Problem& problem, cuda::Target target);

}  // namespace sparse_gemm
