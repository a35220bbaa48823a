// The cost model: what a launch is expected to take. One function for all kernels and schedules:
//
//   main loops   the longest of what bounds them: mma issue, issue slots, shared memory (reads and
//                fills share its port), each times the busiest SM's share over the mean; L2; DRAM.
//                The last two are no SM's own: an idle SM leaves its share to the others, but what
//                one SM draws is limited by its port and by the bytes that it has on the way.
//   + fixed      launch, filling the ring, epilogues that nothing hides, adding partial sums.
//
// Constants that say so are assumed, until they have been measured; the others are the hardware's.
#pragma once

#include "core/cuda_cost.h"
#include "core/device_props.h"
#include "core/kernel_config.h"
#include "core/problem.h"
#include "core/schedule.h"

namespace sparse_gemm {

CudaCost cost_of(const Problem& problem, const CudaProps& props, const CudaKernel& kernel,
                 const Schedule& schedule);

// CTAs of the kernel that an SM holds at a time; 0 if the device cannot run it.
int resident_ctas(const CudaKernel& kernel, const CudaProps& props);

}  // namespace sparse_gemm
