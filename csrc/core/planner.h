// Planner: Problem + device properties + candidate kernels -> Plan. Pure: no device is asked.
#pragma once

#include <span>
#include <vector>

#include "core/device_props.h"
#include "core/multiply.h"
#include "core/plan.h"
#include "core/problem.h"
#include "core/status.h"

namespace sparse_gemm {

// `configs` must hold a kernel for few and one for many tokens of B's type on `props.isa`.
Plan make_plan(const Problem& problem, const CpuProps& props, std::span<const CpuConfig> configs);

// How the dense operand of `problem` can reach shared memory at best.
BLoad b_load_of(const Problem& problem);

// Every kernel that can run `problem` on the device, under every schedule worth a thought, with its
// cost; first the cheapest. Of an empty problem one plan of no tiles.
std::vector<CudaPlan> candidate_plans(const Problem& problem, Multiply multiply,
                                      const CudaProps& props, std::span<const CudaKernel> kernels);

// The plan of one kernel under one schedule. `num_ctas` 0: the schedule that costs least.
Status plan_of(const Problem& problem, Multiply multiply, const CudaProps& props,
               const CudaKernel& kernel, int64_t num_ctas, int64_t num_whole_tiles, CudaPlan* plan);

// The cheapest of candidate_plans.
Status make_plan(const Problem& problem, Multiply multiply, const CudaProps& props,
                 std::span<const CudaKernel> kernels, CudaPlan* plan);

}  // namespace sparse_gemm
