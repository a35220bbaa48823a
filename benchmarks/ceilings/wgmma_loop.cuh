// The bare wgmma loop: one CTA an SM multiplies operands in shared memory again and again.
//
// Warp roles: kWarpgroups consumer warpgroups, each with its own 64 x kN accumulators, and one
// producer warp. A stage is one k_tile: 128 bytes of every row of B, and the A that belongs to it
// (64 bytes of each row if sparse). Fills:
//   kNone  the stages hold still; nothing else reads or writes shared memory
//   kTile  the producer brings every stage anew before its use, from data in L2: the bytes that a
//          64 * kWarpgroups x kN tile needs. With a cluster of two each CTA brings half of B to
//          both. Barriers: full[stage] counts the bytes, empty[stage] one arrival of each warpgroup
//          that reads what is overwritten.
//   kFree  the producer copies as fast as it can into shared memory that no wgmma reads
// With A in registers only B is filled: how A gets there is not part of this loop.
#pragma once

#include "cuda/ptx/bulk_copy.h"
#include "cuda/ptx/cluster.h"
#include "cuda/ptx/mbarrier.h"
#include "cuda/ptx/setmaxnreg.h"
#include "cuda/ptx/shared_address.h"
#include "cuda/ptx/wgmma.h"
#include "operands.h"

namespace ceilings {

namespace ptx = sparse_gemm::cuda::ptx;

enum class Fills { kNone, kTile, kFree };

template <DataType kTypeValue, bool kSparseValue, bool kRegistersValue, int kNValue,
          Fills kFillsValue, int kClusterValue = 1, int kWarpgroupsValue = 2>
struct WgmmaConfig {
  static constexpr DataType kType = kTypeValue;
  static constexpr bool kSparse = kSparseValue;
  static constexpr bool kAInRegisters = kRegistersValue;
  static constexpr int kN = kNValue;
  static constexpr Fills kFills = kFillsValue;
  static constexpr int kCluster = kClusterValue;
  static constexpr int kWarpgroups = kWarpgroupsValue;

  static constexpr int kM = 64;                          // of one instruction
  static constexpr int kAStepBytes = 32;                 // of a row of A that it reads, as stored
  static constexpr int kBStepBytes = kSparse ? 64 : 32;  // and of a row of B
  static constexpr int kK = kBStepBytes * 8 / traits_of(kType).bits;
  static constexpr int kBRowBytes = 128;
  static constexpr int kSteps = kBRowBytes / kBStepBytes;  // instructions a stage and warpgroup
  static constexpr int kARowBytes = kSteps * kAStepBytes;

  static constexpr int kConsumerThreads = kWarpgroups * 128;
  static constexpr int kThreads = kConsumerThreads + 128;
  // At entry all warpgroups have as many; then the producer's go to the consumers.
  static constexpr int kEntryRegisters = 65536 / kThreads / 8 * 8;
  static constexpr int kProducerRegisters = 24;
  static constexpr int kConsumerRegisters =
      (kEntryRegisters * (kWarpgroups + 1) - kProducerRegisters) / kWarpgroups / 8 * 8;
  static constexpr int kWarpgroupABytes = kAInRegisters ? 0 : kM * kARowBytes;
  static constexpr int kABytes = kWarpgroups * kWarpgroupABytes;
  static constexpr int kBBytes = kN * kBRowBytes;
  static constexpr int kStageBytes = kABytes + kBBytes;
  static constexpr int kStages = kFills == Fills::kTile ? 4 : 2;
  static constexpr int kScratches = kFills == Fills::kFree ? 4 : 0;
  static constexpr int kScratchBytes = 16 * 1024;
  static constexpr int kBarriersOffset = kStages * kStageBytes + kScratches * kScratchBytes;
  static constexpr int kSmemAlignment = 1024;  // of the swizzle's pattern
  static constexpr int kSmemBytes = kBarriersOffset + 128 + kSmemAlignment;

  static_assert(kWarpgroupABytes % kSmemAlignment == 0 && kBBytes % kSmemAlignment == 0,
                "every matrix begins where the swizzle's pattern does");
};

struct WgmmaParams {
  const uint8_t* source;  // what is copied; stays in L2
  int64_t source_bytes;
  const uint32_t* fragments;  // A in registers: kSteps * 4 words a thread
  const uint32_t* metadata;   // kSteps words a thread
  int iterations;             // k_tiles
  float* sink;                // a word a consumer thread
  long long* cycles;          // a word a CTA
  long long* filled_bytes;    // a word a CTA; written by kFree alone
};

// Shared memory: stages (B, then A of each warpgroup), scratches, barriers.
template <class C>
struct WgmmaSmem {
  uint32_t base;

  __device__ uint32_t b(int stage) const { return base + stage * C::kStageBytes; }
  __device__ uint32_t a(int stage, int warpgroup) const {
    return b(stage) + C::kBBytes + warpgroup * C::kWarpgroupABytes;
  }
  __device__ uint32_t scratch(int idx) const { return b(C::kStages) + idx * C::kScratchBytes; }
  __device__ uint32_t full(int stage) const { return base + C::kBarriersOffset + stage * 8; }
  __device__ uint32_t empty(int stage) const { return full(C::kStages) + stage * 8; }
};

// Where the next copy reads: through all of the source, over and over.
struct SourceCursor {
  const uint8_t* source;
  int64_t source_bytes, offset;

  __device__ const uint8_t* take(int bytes) {
    if (offset + bytes > source_bytes) offset = 0;
    const uint8_t* begin = source + offset;
    offset += bytes;
    return begin;
  }
};

template <class C>
__device__ void produce_tiles(const WgmmaParams& params, const WgmmaSmem<C>& smem) {
  constexpr int kShare = C::kBBytes / C::kCluster;  // of B that this CTA brings to all
  const uint32_t rank = C::kCluster > 1 ? ptx::cluster_cta_rank() : 0;
  SourceCursor cursor{params.source, params.source_bytes,
                      int64_t{blockIdx.x} * C::kStageBytes * C::kStages % params.source_bytes};
  for (int tile = 0; tile < params.iterations; ++tile) {
    const int stage = tile % C::kStages;
    const uint32_t phase = tile / C::kStages % 2;
    ptx::mbarrier_wait(smem.empty(stage), phase ^ 1);
    ptx::mbarrier_arrive_expect_tx(smem.full(stage), C::kStageBytes);
    const uint32_t destination = smem.b(stage) + rank * kShare;
    if constexpr (C::kCluster > 1) {
      ptx::bulk_copy_multicast(destination, cursor.take(kShare), kShare, smem.full(stage),
                               (1 << C::kCluster) - 1);
    } else {
      ptx::bulk_copy(destination, cursor.take(kShare), kShare, smem.full(stage));
    }
    if constexpr (C::kABytes > 0) {
      ptx::bulk_copy(smem.a(stage, 0), cursor.take(C::kABytes), C::kABytes, smem.full(stage));
    }
  }
}

// Until `done`; keeps a copy in flight to each scratch. The scratches use the full barriers.
template <class C>
__device__ void produce_freely(const WgmmaParams& params, const WgmmaSmem<C>& smem,
                               const volatile int* done) {
  SourceCursor cursor{params.source, params.source_bytes,
                      int64_t{blockIdx.x} * C::kScratchBytes * C::kScratches % params.source_bytes};
  long long copies = 0;
  for (; !*done; ++copies) {
    const int idx = copies % C::kScratches;
    if (copies >= C::kScratches) {
      ptx::mbarrier_wait(smem.full(idx), (copies / C::kScratches - 1) % 2);
    }
    ptx::mbarrier_arrive_expect_tx(smem.full(idx), C::kScratchBytes);
    ptx::bulk_copy(smem.scratch(idx), cursor.take(C::kScratchBytes), C::kScratchBytes,
                   smem.full(idx));
  }
  // What is still in flight must land before the shared memory is given up.
  for (long long copy = copies < C::kScratches ? 0 : copies - C::kScratches; copy < copies;
       ++copy) {
    ptx::mbarrier_wait(smem.full(copy % C::kScratches), copy / C::kScratches % 2);
  }
  params.filled_bytes[blockIdx.x] = copies * C::kScratchBytes;
}

template <class C, class A>
__device__ __forceinline__ void multiply(float (&d)[C::kN / 2], const A& a, uint64_t b,
                                         uint32_t metadata) {
  if constexpr (C::kType == DataType::kF16 && C::kSparse) ptx::wgmma_sp_f16(d, a, b, metadata);
  if constexpr (C::kType == DataType::kF16 && !C::kSparse) ptx::wgmma_f16(d, a, b);
  if constexpr (C::kType == DataType::kE4m3 && C::kSparse) ptx::wgmma_sp_e4m3(d, a, b, metadata);
  if constexpr (C::kType == DataType::kE4m3 && !C::kSparse) ptx::wgmma_e4m3(d, a, b);
}

// The stage may be filled again, by every CTA that fills it.
template <class C>
__device__ void release(const WgmmaSmem<C>& smem, int stage) {
  for (uint32_t rank = 0; rank < C::kCluster; ++rank) {
    if constexpr (C::kCluster > 1) {
      ptx::mbarrier_arrive_cluster(ptx::map_to_cta(smem.empty(stage), rank));
    } else {
      ptx::mbarrier_arrive(smem.empty(stage));
    }
  }
}

template <class C>
__device__ void consume(const WgmmaParams& params, const WgmmaSmem<C>& smem, int warpgroup) {
  constexpr ptx::MatrixSwizzle kASwizzle =
      C::kARowBytes == 128 ? ptx::MatrixSwizzle::k128B : ptx::MatrixSwizzle::k64B;
  constexpr int kAtomRows = 8;
  uint32_t fragments[C::kSteps][4];
  uint32_t metadata[C::kSteps];
  for (int step = 0; step < C::kSteps; ++step) {
    metadata[step] = params.metadata[threadIdx.x * C::kSteps + step];
    for (int i = 0; i < 4; ++i) {
      fragments[step][i] = params.fragments[(threadIdx.x * C::kSteps + step) * 4 + i];
    }
  }
  float d[C::kN / 2] = {};

  for (int tile = 0; tile < params.iterations; ++tile) {
    const int stage = tile % C::kStages;
    if constexpr (C::kFills == Fills::kTile) {
      ptx::mbarrier_wait(smem.full(stage), tile / C::kStages % 2);
    }
    const uint64_t a =
        ptx::matrix_descriptor(smem.a(stage, warpgroup), kAtomRows * C::kARowBytes, kASwizzle);
    const uint64_t b =
        ptx::matrix_descriptor(smem.b(stage), kAtomRows * C::kBRowBytes, ptx::MatrixSwizzle::k128B);
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < C::kSteps; ++step) {
      // A descriptor's address is in units of 16 bytes; steps lie side by side in a row.
      const uint64_t b_step = b + step * C::kBStepBytes / 16;
      if constexpr (C::kAInRegisters) {
        multiply<C>(d, fragments[step], b_step, metadata[step]);
      } else {
        multiply<C>(d, a + step * C::kAStepBytes / 16, b_step, metadata[step]);
      }
    }
    ptx::wgmma_commit_group();
    ptx::wgmma_wait_group<1>();  // so the stage before this one has been read
    if constexpr (C::kFills == Fills::kTile) {
      if (tile > 0 && threadIdx.x % 128 == 0) release(smem, (tile - 1) % C::kStages);
    }
  }
  ptx::wgmma_wait_group<0>();
  float sum = 0;
  for (float value : d) sum += value;
  params.sink[blockIdx.x * C::kConsumerThreads + threadIdx.x] = sum;
}

template <class C>
__device__ void set_up(const WgmmaParams& params, const WgmmaSmem<C>& smem, uint8_t* stages) {
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < C::kStages; ++stage) {
      ptx::mbarrier_init(smem.empty(stage), C::kWarpgroups * C::kCluster);
    }
    for (int i = 0; i < max(C::kStages, C::kScratches); ++i) ptx::mbarrier_init(smem.full(i), 1);
    ptx::fence_mbarrier_init();
  }
  for (int i = threadIdx.x * 16; i < C::kStages * C::kStageBytes; i += C::kThreads * 16) {
    *reinterpret_cast<uint4*>(stages + i) = *reinterpret_cast<const uint4*>(params.source + i);
  }
  ptx::fence_proxy_async();
}

template <class C>
__global__ void __cluster_dims__(C::kCluster, 1, 1) __launch_bounds__(C::kThreads, 1)
    wgmma_loop(const __grid_constant__ WgmmaParams params) {
  extern __shared__ uint8_t smem_bytes[];
  __shared__ volatile int done;
  const uint32_t unaligned = ptx::shared_address(smem_bytes);
  const uint32_t padding = -unaligned % C::kSmemAlignment;
  const WgmmaSmem<C> smem{unaligned + padding};
  if (threadIdx.x == 0) done = 0;
  set_up(params, smem, smem_bytes + padding);
  __syncthreads();
  if constexpr (C::kCluster > 1) ptx::cluster_sync();

  const long long begin = clock64();
  // The warpgroup's number is the same in all its lanes; the shuffle lets the compiler know.
  const int warpgroup = __shfl_sync(~0u, threadIdx.x / 128, 0);
  if (warpgroup < C::kWarpgroups) {
    ptx::setmaxnreg_inc<C::kConsumerRegisters>();
    consume(params, smem, warpgroup);
    if (threadIdx.x == 0) done = 1;
  } else {
    ptx::setmaxnreg_dec<C::kProducerRegisters>();
    if (threadIdx.x == C::kConsumerThreads) {
      if constexpr (C::kFills == Fills::kTile) produce_tiles(params, smem);
      if constexpr (C::kFills == Fills::kFree) produce_freely(params, smem, &done);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) params.cycles[blockIdx.x] = clock64() - begin;
  // No CTA leaves while another may still write to its shared memory or arrive at its barriers.
  if constexpr (C::kCluster > 1) ptx::cluster_sync();
}

}  // namespace ceilings
