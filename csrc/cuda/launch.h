// launch: runs a plan on a device.
#pragma once

#include <cstdint>

#include "core/plan.h"
#include "core/problem.h"
#include "core/status.h"
#include "cuda/runtime/runtime.h"

namespace sparse_gemm::cuda {

// Device memory for the partial sums of a plan that shares tiles. Nobody else may use it until the
// launch is done.
struct Workspace {
  void* partials = nullptr;      // plan.workspace_bytes of any content
  uint32_t* counters = nullptr;  // plan.num_counters zeros, which the launch leaves as zeros
};

// `problem.a` is packed (format/packed_order.h); all addresses are the device's.
Status launch(const Problem& problem, const CudaPlan& plan, const Workspace& workspace,
              Target target);

// A number of the capture (into a CUDA graph) that the target's stream is in; 0 if it is in none.
Status capture_id(Target target, uint64_t* id);

}  // namespace sparse_gemm::cuda
