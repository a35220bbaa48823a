// dispatch: which backend runs a Problem, and whether it can.
#pragma once

#include "core/device_props.h"
#include "core/problem.h"
#include "core/status.h"

namespace sparse_gemm {

// Ok if `backend` has kernels for the problem's types and pattern; else a Status that names what it
// has and what to do instead.
Status check_supported(const Problem& problem, Backend backend);

// Ok if this device runs the cuda backend's kernels.
Status check_supported(const CudaProps& props);

}  // namespace sparse_gemm
