#include "cuda/launch.h"

#include <cstdint>
#include <string>

#include "cuda/runtime/cuda_status.h"
#include "cuda/sm80/launch.h"

namespace sparse_gemm::cuda {
namespace {

constexpr uintptr_t kVectorAlignment = 16;  // of a cp.async, and of partial sums

Status check_alignment(const char* name, const void* data, uintptr_t alignment) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  if (address % alignment == 0) return Status::ok();
  return Status::invalid_argument(std::string(name) + " is at address " + std::to_string(address) +
                                  "; a device needs a multiple of " + std::to_string(alignment));
}

Status check_alignments(const Problem& problem, const Workspace& workspace) {
  const Epilogue& e = problem.epilogue;
  const struct {
    const char* name;
    const void* data;
    uintptr_t alignment;
  } operands[] = {
      {"packed values", problem.a.values, kVectorAlignment},
      {"packed metadata", problem.a.metadata, kVectorAlignment},
      {"packed group scales", problem.a.group_scales, kVectorAlignment},
      {"the dense operand", problem.b.data, static_cast<uintptr_t>(bytes_of(problem.b.dtype))},
      {"out", problem.d.data, static_cast<uintptr_t>(bytes_of(problem.d.dtype))},
      {"w_scale", e.scale_m.data, static_cast<uintptr_t>(bytes_of(e.scale_m.dtype))},
      {"x_scale", e.scale_n.data, static_cast<uintptr_t>(bytes_of(e.scale_n.dtype))},
      {"bias", e.bias.data, static_cast<uintptr_t>(bytes_of(e.bias.dtype))},
      {"residual", e.c.data, static_cast<uintptr_t>(bytes_of(e.c.dtype))},
      {"gate", e.gate.data, static_cast<uintptr_t>(bytes_of(e.gate.dtype))},
      {"the workspace", workspace.partials, kVectorAlignment},
      {"the array of counters", workspace.counters, alignof(uint32_t)},
  };
  for (const auto& [name, data, alignment] : operands) {
    if (Status status = check_alignment(name, data, alignment); !status.is_ok()) return status;
  }
  return Status::ok();
}

Status check_workspace(const CudaPlan& plan, const Workspace& workspace) {
  if ((plan.workspace_bytes == 0 || workspace.partials != nullptr) &&
      (plan.num_counters == 0 || workspace.counters != nullptr)) {
    return Status::ok();
  }
  return Status::invalid_argument("the plan needs " + std::to_string(plan.workspace_bytes) +
                                  " bytes of workspace and " + std::to_string(plan.num_counters) +
                                  " counters, and got none (address 0)");
}

}  // namespace

Status launch(const Problem& problem, const CudaPlan& plan, const Workspace& workspace,
              Target target) {
  if (!WorkShape::fits(plan.schedule)) {
    return Status::unsupported(
        "M=" + std::to_string(problem.m) + ", N=" + std::to_string(problem.n) +
        ", K=" + std::to_string(problem.k) + " in a batch of " + std::to_string(problem.batch) +
        " is more work than one launch can count: split it");
  }
  if (Status status = check_workspace(plan, workspace); !status.is_ok()) return status;
  if (Status status = check_alignments(problem, workspace); !status.is_ok()) return status;
  const DeviceGuard guard(target.device);
  if (!guard.is_ok()) return guard.status();
  const GemmParams params{problem, WorkShape::of(plan.schedule, plan.tiles_m, plan.tiles_n),
                          static_cast<float4*>(workspace.partials), workspace.counters};
  return sm80::launch(params, plan, target.stream);
}

Status capture_id(Target target, uint64_t* id) {
  const DeviceGuard guard(target.device);
  if (!guard.is_ok()) return guard.status();
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  unsigned long long number = 0;
  const cudaError_t error =
      cudaStreamGetCaptureInfo(reinterpret_cast<cudaStream_t>(target.stream), &status, &number);
  *id = status == cudaStreamCaptureStatusActive ? number : 0;
  return cuda_status(error, "asking whether a stream is captured");
}

}  // namespace sparse_gemm::cuda
