// Planner: Problem + device properties + candidate configs -> Plan. Pure: no device is asked.
#pragma once

#include <span>

#include "core/device_props.h"
#include "core/plan.h"
#include "core/problem.h"

namespace sparse_gemm {

// `configs` must hold a row for each kernel of `props.isa`.
Plan make_plan(const Problem& problem, const CpuProps& props, std::span<const CpuConfig> configs);

// `configs` are in the order of growing tiles, and any device that `check_supported` lets through
// has the shared memory for them.
CudaPlan make_plan(const Problem& problem, const CudaProps& props,
                   std::span<const CudaConfig> configs);

}  // namespace sparse_gemm
