#include "cuda/launch.h"

#include <cstdint>
#include <string>

#include "cuda/runtime/cuda_status.h"
#include "cuda/sm80/launch.h"

namespace sparse_gemm::cuda {
namespace {

constexpr uintptr_t kPackedAlignment = 16;  // of a cp.async

Status check_alignment(const char* name, const void* data, uintptr_t alignment) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  if (address % alignment == 0) return Status::ok();
  return Status::invalid_argument(std::string(name) + " is at address " + std::to_string(address) +
                                  "; a device needs a multiple of " + std::to_string(alignment));
}

Status check_alignments(const Problem& problem) {
  const Epilogue& e = problem.epilogue;
  const struct {
    const char* name;
    const void* data;
    uintptr_t alignment;
  } operands[] = {
      {"packed values", problem.a.values, kPackedAlignment},
      {"packed metadata", problem.a.metadata, kPackedAlignment},
      {"the dense operand", problem.b.data, static_cast<uintptr_t>(bytes_of(problem.b.dtype))},
      {"out", problem.d.data, static_cast<uintptr_t>(bytes_of(problem.d.dtype))},
      {"w_scale", e.scale_m.data, static_cast<uintptr_t>(bytes_of(e.scale_m.dtype))},
      {"x_scale", e.scale_n.data, static_cast<uintptr_t>(bytes_of(e.scale_n.dtype))},
      {"bias", e.bias.data, static_cast<uintptr_t>(bytes_of(e.bias.dtype))},
      {"residual", e.c.data, static_cast<uintptr_t>(bytes_of(e.c.dtype))},
      {"gate", e.gate.data, static_cast<uintptr_t>(bytes_of(e.gate.dtype))},
  };
  for (const auto& [name, data, alignment] : operands) {
    if (Status status = check_alignment(name, data, alignment); !status.is_ok()) return status;
  }
  return Status::ok();
}

}  // namespace

Status launch(const Problem& problem, const CudaPlan& plan, Target target) {
  constexpr int64_t kMaxCtas = INT32_MAX;  // of a grid's first dimension
  if (plan.num_ctas > kMaxCtas) {
    return Status::unsupported("M=" + std::to_string(problem.m) +
                               ", N=" + std::to_string(problem.n) +
                               " would take more CTAs than a grid can have: split N");
  }
  if (Status status = check_alignments(problem); !status.is_ok()) return status;
  const DeviceGuard guard(target.device);
  if (!guard.is_ok()) return guard.status();
  return sm80::launch(problem, plan, target.stream);
}

}  // namespace sparse_gemm::cuda
