// Partial sums: how CTAs that share a tile of D add what each has of it.
//
// Each writes its accumulators to a slot of the workspace and raises the tile's counter. Who finds
// that the others have been there already adds all pieces in the order of K, its own among them:
// the sum does not depend on who came last. Nobody waits. The counter wraps to 0 by itself.
//
// A slot holds the accumulators of one mma of all threads after another, as the registers have
// them: lanes write and read 16 bytes (8 of packed halves) side by side.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/kernel_config.h"
#include "cuda/device/params.h"
#include "cuda/ptx/add.h"
#include "cuda/ptx/atom.h"

namespace sparse_gemm::cuda {

inline constexpr int kRegistersForPieces = 32;

// The accumulators of one mma, past L1: other SMs write and read them.
__device__ __forceinline__ void store_fragment(char* slot, int idx, const float (&x)[4]) {
  __stcg(reinterpret_cast<float4*>(slot) + idx, make_float4(x[0], x[1], x[2], x[3]));
}
__device__ __forceinline__ void store_fragment(char* slot, int idx, const int32_t (&x)[4]) {
  __stcg(reinterpret_cast<int4*>(slot) + idx, make_int4(x[0], x[1], x[2], x[3]));
}
__device__ __forceinline__ void store_fragment(char* slot, int idx, const uint32_t (&x)[2]) {
  __stcg(reinterpret_cast<uint2*>(slot) + idx, make_uint2(x[0], x[1]));
}

__device__ __forceinline__ void load_fragment(const char* slot, int idx, float (&x)[4]) {
  const float4 words = __ldcg(reinterpret_cast<const float4*>(slot) + idx);
  x[0] = words.x, x[1] = words.y, x[2] = words.z, x[3] = words.w;
}
__device__ __forceinline__ void load_fragment(const char* slot, int idx, int32_t (&x)[4]) {
  const int4 words = __ldcg(reinterpret_cast<const int4*>(slot) + idx);
  x[0] = words.x, x[1] = words.y, x[2] = words.z, x[3] = words.w;
}
__device__ __forceinline__ void load_fragment(const char* slot, int idx, uint32_t (&x)[2]) {
  const uint2 words = __ldcg(reinterpret_cast<const uint2*>(slot) + idx);
  x[0] = words.x, x[1] = words.y;
}

// sum += x, or nothing; without a branch, behind which the compiler would put the loads of x too.
template <typename T>
__device__ __forceinline__ void add_fragment(bool adds, const T (&x)[4], T (&sum)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] = adds ? sum[i] + x[i] : sum[i];
}
__device__ __forceinline__ void add_fragment(bool adds, const uint32_t (&x)[2],
                                             uint32_t (&sum)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) sum[i] = adds ? ptx::add_rn_f16x2(sum[i], x[i]) : sum[i];
}

template <typename Warp>
using Accumulators = decltype(Warp::accumulator);

// Calls op(idx, i, j) for each mma of the warp; idx is the thread's place in a slot.
template <typename Warp, typename Op>
__device__ __forceinline__ void for_each_fragment(int thread, Op op) {
#pragma unroll
  for (int i = 0; i < Warp::kMmasM; ++i) {
#pragma unroll
    for (int j = 0; j < Warp::kMmasN; ++j) {
      op((i * Warp::kMmasN + j) * Warp::kTile.num_threads() + thread, i, j);
    }
  }
}

template <typename Warp>
__device__ __forceinline__ char* partial_slot(const GemmParams& params, uint32_t cta,
                                              bool is_first) {
  static_assert(kPartialsPerCta == 2, "the piece that a run begins with, and the one it ends with");
  constexpr size_t kSlotBytes = sizeof(Accumulators<Warp>) * Warp::kTile.num_threads();
  const size_t slot = size_t{kPartialsPerCta} * cta + (is_first ? 1 : 0);
  return reinterpret_cast<char*>(params.partials) + slot * kSlotBytes;
}

// How many pieces are read at once: each read takes long, and some registers are free by then.
template <typename Warp>
inline constexpr int kPiecesAtOnce =
    std::max<int>(1, kRegistersForPieces * 4 / static_cast<int>(sizeof(Accumulators<Warp>)));

// sum = the pieces of CTAs first_cta to last_cta, added in this order.
template <typename Warp>
__device__ __forceinline__ void gather_pieces(const GemmParams& params, uint32_t first_cta,
                                              uint32_t last_cta, int thread,
                                              Accumulators<Warp>& sum) {
  constexpr int kAtOnce = kPiecesAtOnce<Warp>;
  const auto load = [&](uint32_t cta, bool is_first, Accumulators<Warp>& x) {
    const char* slot = partial_slot<Warp>(params, cta, is_first);
    for_each_fragment<Warp>(thread,
                            [&](int idx, int i, int j) { load_fragment(slot, idx, x[i][j]); });
  };
  // The tile's first piece begins at its K = 0; every other is the first of its CTA's run.
  load(first_cta, true, sum);
#pragma unroll 1
  for (uint32_t cta = first_cta + 1; cta <= last_cta; cta += kAtOnce) {
    Accumulators<Warp> x[kAtOnce];
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) load(min(cta + p, last_cta), false, x[p]);
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) {
      const bool adds = cta + p <= last_cta;
      for_each_fragment<Warp>(
          thread, [&](int, int i, int j) { add_fragment(adds, x[p][i][j], sum[i][j]); });
    }
  }
}

// Leaves the accumulators of a piece for others to add. True for the last CTA of the tile: its
// accumulators are the whole tile's then. The same for all threads.
template <typename Warp>
__device__ __forceinline__ bool add_partials(const GemmParams& params, const Piece& piece,
                                             Warp& warp_tile, int thread) {
  const uint32_t first_step = piece.shared_tile * params.work.num_k_tiles;
  const uint32_t first_cta = params.work.cta_of(first_step);
  const uint32_t last_cta = params.work.cta_of(first_step + params.work.num_k_tiles - 1);
  char* own = partial_slot<Warp>(params, blockIdx.x, piece.k_begin == 0);
  for_each_fragment<Warp>(thread, [&](int idx, int i, int j) {
    store_fragment(own, idx, warp_tile.accumulator[i][j]);
  });
  __syncthreads();  // orders every thread's stores before thread 0's release

  bool is_last = false;
  if (thread == 0) {
    const uint32_t others = last_cta - first_cta;
    is_last =
        ptx::atom_acq_rel_gpu_global_inc_u32(params.counters + piece.shared_tile, others) == others;
  }
  if (!__syncthreads_or(is_last)) return false;
  gather_pieces<Warp>(params, first_cta, last_cta, thread, warp_tile.accumulator);
  return true;
}

}  // namespace sparse_gemm::cuda
