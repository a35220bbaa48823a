// setmaxnreg: registers move from one warpgroup to another (sm_90a).
//
// All warps of a warpgroup execute it. The kernel must have a limit of registers at entry, and each
// role must be one side of a branch that all threads of a warpgroup take together.
#pragma once

namespace sparse_gemm::cuda::ptx {

// Multiples of eight between 24 and 256.
template <int kRegisters>
__device__ __forceinline__ void setmaxnreg_inc() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters>
__device__ __forceinline__ void setmaxnreg_dec() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace sparse_gemm::cuda::ptx
