#include "gemm.h"

#include "core/choose_plan.h"
#include "core/dispatch.h"
#include "core/planner.h"
#include "core/validate.h"
#include "cpu/configs.h"
#include "cpu/launch.h"
#include "cuda/sm80/kernel_table.h"

namespace sparse_gemm {
namespace {

bool is_empty(const Problem& problem) {
  return problem.m == 0 || problem.n == 0 || problem.batch == 0;
}

Status check_memory(const Problem& problem) {
  const bool reads_operands = problem.k > 0;
  if (problem.d.data == nullptr ||
      (reads_operands && (problem.a.values == nullptr || problem.a.metadata == nullptr ||
                          problem.b.data == nullptr))) {
    return Status::invalid_argument("an operand has elements but no memory (address 0)");
  }
  return Status::ok();
}

}  // namespace

Status plan_gemm(const Problem& problem, const CpuProps& props, Plan* plan) {
  if (Status status = validate(problem); !status.is_ok()) return status;
  if (Status status = check_cpu_support(problem); !status.is_ok()) return status;
  *plan = make_plan(problem, props, cpu::kConfigs);
  return Status::ok();
}

Status plan_gemm(const Problem& problem, int device, CudaPlan* plan) {
  const CudaProps* props = nullptr;
  if (Status status = cuda::device_props(device, &props); !status.is_ok()) return status;
  if (Status status = validate(problem); !status.is_ok()) return status;
  return choose_plan(problem, *props, device, cuda_kernels(), plan);
}

Status plan_gemm(const Problem& problem, const CudaProps& props, CudaPlan* plan) {
  if (Status status = validate(problem); !status.is_ok()) return status;
  return choose_plan(problem, props, kNoDevice, cuda_kernels(), plan);
}

std::span<const CudaKernel> cuda_kernels() {
  return cuda::sm80::kernel_table();
}

Status run_gemm(const Problem& problem, const CpuProps& props) {
  Plan plan;
  if (Status status = plan_gemm(problem, props, &plan); !status.is_ok()) return status;
  if (is_empty(problem)) return Status::ok();
  if (Status status = check_memory(problem); !status.is_ok()) return status;
  return cpu::launch(problem, plan);
}

Status run_gemm(const Problem& problem, const CudaPlan& plan, const cuda::Workspace& workspace,
                cuda::Target target) {
  if (is_empty(problem)) return Status::ok();
  if (Status status = check_memory(problem); !status.is_ok()) return status;
  return cuda::launch(problem, plan, workspace, target);
}

}  // namespace sparse_gemm
