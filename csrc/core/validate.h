// validate: is this a Problem at all? Checks that hold for every backend.
#pragma once

#include "core/problem.h"
#include "core/status.h"

namespace sparse_gemm {

Status validate(const Problem& problem);

}  // namespace sparse_gemm
