// dispatch: which backend runs a Problem, with which kernels, and whether it can.
#pragma once

#include "core/device_props.h"
#include "core/multiply.h"
#include "core/problem.h"
#include "core/status.h"

namespace sparse_gemm {

// Ok if the CPU backend has kernels for the problem's types and pattern; else a Status that names
// what it has and what to do instead.
Status check_cpu_support(const Problem& problem);

// What the CUDA kernels of `problem` multiply on that device; or a Status that names the devices
// that can, and what to do instead on this one.
Status find_multiply(const Problem& problem, const CudaProps& props, Multiply* multiply);

}  // namespace sparse_gemm
