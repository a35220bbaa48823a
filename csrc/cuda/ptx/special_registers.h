// Special registers, read where the code says so. The compiler's own threadIdx is a value that it
// may keep, with all that follows from it, from the begin of a kernel to its end; this one is not.
#pragma once

namespace sparse_gemm::cuda::ptx {

__device__ __forceinline__ int mov_u32_tid_x() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

}  // namespace sparse_gemm::cuda::ptx
