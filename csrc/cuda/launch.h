// launch: runs a plan on a device.
#pragma once

#include "core/plan.h"
#include "core/problem.h"
#include "core/status.h"
#include "cuda/runtime/runtime.h"

namespace sparse_gemm::cuda {

// `problem.a` is packed (format/packed_order.h); all addresses are the device's.
Status launch(const Problem& problem, const CudaPlan& plan, Target target);

}  // namespace sparse_gemm::cuda
