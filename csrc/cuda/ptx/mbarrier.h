// mbarrier: barriers in shared memory that count arrivals and the bytes of bulk copies (sm_90).
//
// A phase ends when the expected arrivals have come and no announced byte is missing. The parity of
// the phase that is waited for alternates 0, 1, 0, ... from the first one on.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda::ptx {

__device__ __forceinline__ void mbarrier_init(uint32_t smem_barrier, uint32_t num_arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_barrier), "r"(num_arrivals)
               : "memory");
}

// Makes initialised barriers visible to the asynchronous proxy, that is to bulk copies.
__device__ __forceinline__ void fence_mbarrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(uint32_t smem_barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem_barrier) : "memory");
}

// At a barrier of any CTA of the cluster: an address from map_to_cta.
__device__ __forceinline__ void mbarrier_arrive_cluster(uint32_t cluster_barrier) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(cluster_barrier)
               : "memory");
}

// Arrives and announces that copies will bring `bytes` in this phase.
__device__ __forceinline__ void mbarrier_arrive_expect_tx(uint32_t smem_barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_barrier),
               "r"(bytes)
               : "memory");
}

// Returns when the phase of that parity is over. The loop stands inside the asm because ptxas takes
// a C++ loop around try_wait for one that reads accumulators, and serialises the wgmma in flight
// (C7514).
__device__ __forceinline__ void mbarrier_wait(uint32_t smem_barrier, uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(smem_barrier),
      "r"(parity)
      : "memory");
}

}  // namespace sparse_gemm::cuda::ptx
