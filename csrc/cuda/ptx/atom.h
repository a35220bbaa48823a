// atom: read, change and write a word of global memory in one step.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// *counter = old >= limit ? 0 : old + 1; returns old. What any thread of the device wrote before
// its own such call is visible after it, and so is what barriers had ordered before that call.
__device__ __forceinline__ uint32_t atom_acq_rel_gpu_global_inc_u32(uint32_t* counter,
                                                                    uint32_t limit) {
  uint32_t old;
  asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
               : "=r"(old)
               : "l"(counter), "r"(limit)
               : "memory");
  return old;
}

}  // namespace sparse_gemm::cuda::ptx
