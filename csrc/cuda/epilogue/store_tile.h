// store_tile: a CTA's accumulators -> epilogue -> D.
//
// The accumulators cross shared memory, so that a warp works on whole lines of D: its loads of gate
// and residual and its stores are then 16 bytes a lane, side by side. Lines run along the dimension
// of D that is contiguous: along M for linear (y is row-major, D = y.T), along N for a row-major D.
#pragma once

#include <cstdint>

#include "cuda/device/stage_layout.h"
#include "cuda/device/tile_scheduler.h"
#include "cuda/device/warp_tile.h"
#include "cuda/epilogue/terms.h"

namespace sparse_gemm::cuda {

template <bool kAlongM, CudaTile kTile, DType kDType>
__device__ __forceinline__ void stage_accumulators(const WarpTile<kTile, kDType>& warp_tile,
                                                   float* smem) {
  using Warp = WarpTile<kTile, kDType>;
  constexpr int kPitch = line_pitch(kAlongM ? kTile.m : kTile.n, kAlongM);
#pragma unroll
  for (int i = 0; i < Warp::kMmasM; ++i) {
#pragma unroll
    for (int j = 0; j < Warp::kMmasN; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {  // rows m and m + 8
        const float low = warp_tile.accumulator[i][j][2 * half];
        const float high = warp_tile.accumulator[i][j][2 * half + 1];
        const int m = warp_tile.m_begin + i * kMmaM + half * (kMmaM / 2) + warp_tile.lane / 4;
        const int n = warp_tile.n_begin + j * kMmaN + warp_tile.lane % 4 * 2;
        if constexpr (kAlongM) {
          smem[n * kPitch + line_offset(m)] = low;
          smem[(n + 1) * kPitch + line_offset(m)] = high;
        } else {
          *reinterpret_cast<float2*>(smem + m * kPitch + line_offset(n)) = make_float2(low, high);
        }
      }
    }
  }
}

// `smem` is free for use: every thread has finished reading what was there.
template <CudaTile kTile, DType kDType>
__device__ __forceinline__ void store_tile(const Problem& problem, TileCoord tile,
                                           const WarpTile<kTile, kDType>& warp_tile, float* smem,
                                           int thread) {
  const bool along_m = problem.d.row_stride == 1;
  if (along_m) {
    stage_accumulators<true>(warp_tile, smem);
  } else {
    stage_accumulators<false>(warp_tile, smem);
  }
  __syncthreads();

  constexpr int kSegments = kTile.m * kTile.n / kSegmentElems;
  static_assert(kTile.m % kSegmentElems == 0 && kTile.n % kSegmentElems == 0);
  const int pitch = along_m ? line_pitch(kTile.m, true) : line_pitch(kTile.n, false);
  const int64_t m_begin = tile.m * int64_t{kTile.m};
  const int64_t n_begin = tile.n * int64_t{kTile.n};
#pragma unroll 1
  for (int idx = thread; idx < kSegments; idx += kTile.num_threads()) {
    constexpr int kSegmentsM = kTile.m / kSegmentElems;
    constexpr int kSegmentsN = kTile.n / kSegmentElems;
    const int line = along_m ? idx / kSegmentsM : idx / kSegmentsN;
    const int begin = (along_m ? idx % kSegmentsM : idx % kSegmentsN) * kSegmentElems;
    Segment at{m_begin + (along_m ? begin : line), n_begin + (along_m ? line : begin), 0, along_m};
    if (at.m >= problem.m || at.n >= problem.n) continue;
    const int64_t rest = along_m ? problem.m - at.m : problem.n - at.n;
    at.count = static_cast<int>(min(rest, int64_t{kSegmentElems}));

    float value[kSegmentElems];
    load_float_vectors(smem + line * pitch + line_offset(begin), value);
    apply_terms(problem.epilogue, at, value);
    store_segment(value, at, problem.d);
  }
}

}  // namespace sparse_gemm::cuda
