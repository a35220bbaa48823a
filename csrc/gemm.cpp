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
  const bool reads_operands = problem.k > 0;
  if (problem.d.data == nullptr ||
      (reads_operands && (problem.a.values == nullptr || problem.a.metadata == nullptr ||
                          problem.b.data == nullptr))) {
    return Status::invalid_argument("an operand has elements but no memory (address 0)");
  }
  return cpu::launch(problem, plan);
}

}  // namespace sparse_gemm
