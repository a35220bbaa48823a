#include "gemm.h"

#include "core/dispatch.h"
#include "core/planner.h"
#include "core/validate.h"
#include "cpu/configs.h"
#include "cpu/launch.h"

namespace sparse_gemm {

Status plan_gemm(const Problem& problem, const CpuProps& props, Plan* plan) {
  if (Status status = validate(problem); !status.is_ok()) return status;
  if (Status status = check_supported(problem, Backend::kCpu); !status.is_ok()) return status;
  *plan = make_plan(problem, props, cpu::kConfigs);
  return Status::ok();
}

Status run_gemm(const Problem& problem, const CpuProps& props) {
  Plan plan;
  if (Status status = plan_gemm(problem, props, &plan); !status.is_ok()) return status;
  if (problem.m == 0 || problem.n == 0) return Status::ok();
  return cpu::launch(problem, plan);
}

}  // namespace sparse_gemm
