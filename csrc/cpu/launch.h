// launch: runs a Plan on the CPU.
#pragma once

#include "core/plan.h"
#include "core/problem.h"
#include "core/status.h"

namespace sparse_gemm::cpu {

Status launch(const Problem& problem, const Plan& plan);

}  // namespace sparse_gemm::cpu
