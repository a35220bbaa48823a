// The run-time argument of a GEMM kernel.
#pragma once

#include <vector_types.h>

#include <cstdint>

#include "core/problem.h"
#include "cuda/device/work.h"

namespace sparse_gemm::cuda {

struct GemmParams {
  Problem problem;  // A packed
  WorkShape work;
  // kPartialsPerCta slots for each CTA (device/partials.h); all types travel as their bits.
  float4* partials;
  uint32_t* counters;  // one for each shared tile: pieces that have arrived; 0 between launches
};

}  // namespace sparse_gemm::cuda
