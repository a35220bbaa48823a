// cp.async: copies from global to shared memory that a thread starts and waits for later.
// `smem` is an address in the shared window (ptx/shared_address.h). Where `gmem_bytes` are given,
// only these are read from global memory, the rest of the destination becomes zero; with 0 nothing
// is read.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// 16 bytes past L1: what is copied to shared memory is not read again through L1.
__device__ __forceinline__ void cp_async_cg_16(uint32_t smem, const void* gmem) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(smem), "l"(gmem) : "memory");
}

// The same if `condition` holds, without a branch.
__device__ __forceinline__ void cp_async_cg_16_if(bool condition, uint32_t smem, const void* gmem) {
  asm volatile(
      "{\n.reg .pred condition;\n"
      "setp.ne.u32 condition, %0, 0;\n"
      "@condition cp.async.cg.shared.global [%1], [%2], 16;\n}" ::"r"(
          static_cast<uint32_t>(condition)),
      "r"(smem), "l"(gmem)
      : "memory");
}

__device__ __forceinline__ void cp_async_cg_16(uint32_t smem, const void* gmem,
                                               uint32_t gmem_bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem), "l"(gmem),
               "r"(gmem_bytes)
               : "memory");
}

// 4 bytes, which only .ca offers.
__device__ __forceinline__ void cp_async_ca_4(uint32_t smem, const void* gmem,
                                              uint32_t gmem_bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(smem), "l"(gmem),
               "r"(gmem_bytes)
               : "memory");
}

// Closes a group: all copies since the last one.
__device__ __forceinline__ void cp_async_commit_group() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most `kPending` of this thread's latest groups are under way.
template <int kPending>
__device__ __forceinline__ void cp_async_wait_group() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace sparse_gemm::cuda::ptx
