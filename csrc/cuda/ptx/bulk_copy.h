// Bulk copies: cp.async.bulk, contiguous bytes from global to shared memory (sm_90).
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

// Addresses and `bytes` are multiples of 16. One thread issues it; when the bytes have landed they
// are counted at the barrier, where they must have been announced.
__device__ __forceinline__ void bulk_copy(uint32_t smem_destination, const void* source,
                                          uint32_t bytes, uint32_t smem_barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(smem_destination),
      "l"(__cvta_generic_to_global(source)), "r"(bytes), "r"(smem_barrier)
      : "memory");
}

// The same bytes to the same place in every CTA of the cluster whose bit is set in `cta_mask`; each
// counts them at its own barrier.
__device__ __forceinline__ void bulk_copy_multicast(uint32_t smem_destination, const void* source,
                                                    uint32_t bytes, uint32_t smem_barrier,
                                                    uint16_t cta_mask) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
      " [%0], [%1], %2, [%3], %4;" ::"r"(smem_destination),
      "l"(__cvta_generic_to_global(source)), "r"(bytes), "r"(smem_barrier), "h"(cta_mask)
      : "memory");
}

// Orders this thread's ordinary writes to shared memory before what the asynchronous proxy (wgmma,
// bulk copies) reads of it after the next barrier.
__device__ __forceinline__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace sparse_gemm::cuda::ptx
