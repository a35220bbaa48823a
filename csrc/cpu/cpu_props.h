// What this machine's CPU can do.
#pragma once

#include "core/device_props.h"

namespace sparse_gemm::cpu {

// Whether this build has kernels for `isa` and this machine runs them.
bool isa_available(Isa isa);

// The most capable available one, unless `set_isa` chose another.
Isa current_isa();

// Chooses an instruction set for all later calls; false if it is not available.
bool set_isa(Isa isa);

// Whether this machine's cores are Intel's, unless `set_intel_core` said otherwise for all later
// calls.
bool intel_core();
void set_intel_core(bool is_intel);

// What a call on `num_threads` threads has to go by.
CpuProps current_props(int num_threads);

}  // namespace sparse_gemm::cpu
