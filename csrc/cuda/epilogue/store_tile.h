// store_tile: a CTA's accumulators -> epilogue -> D.
//
// The accumulators cross shared memory (epilogue/lines.h), so that a warp works on whole lines of
// D: its loads of gate and residual and its stores are then 16 bytes a lane, side by side. Where
// warps have shared K, that is where their sums meet, and are added in the order of K. Lines
// run along the dimension of D that is contiguous: along M for linear (y is row-major, D = y.T),
// along N for a row-major D.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/problem.h"
#include "cuda/device/work.h"
#include "cuda/epilogue/lines.h"
#include "cuda/epilogue/sums.h"
#include "cuda/epilogue/terms.h"

namespace sparse_gemm::cuda {

template <bool kAlongM, typename Warp, typename T>
__device__ __forceinline__ void stage_accumulators(const Warp& warp_tile, T* smem) {
  constexpr CudaTile kTile = Warp::kTile;
  constexpr int kPitch = line_pitch(kAlongM ? kTile.m : kTile.n, kAlongM);
  constexpr int kMmaM = kTile.warp_m() / Warp::kMmasM;
  constexpr int kMmaN = kTile.warp_n() / Warp::kMmasN;
#pragma unroll
  for (int i = 0; i < Warp::kMmasM; ++i) {
#pragma unroll
    for (int j = 0; j < Warp::kMmasN; ++j) {
      T sum[4];
      sums_of<Warp::kMultiply>(warp_tile.accumulator[i][j], sum);
#pragma unroll
      for (int half = 0; half < 2; ++half) {  // rows m and m + 8
        const int m = warp_tile.m_begin + i * kMmaM + half * (kMmaM / 2) + warp_tile.lane / 4;
        const int n = warp_tile.n_begin + j * kMmaN + warp_tile.lane % 4 * 2;
        if constexpr (kAlongM) {
          smem[n * kPitch + line_offset(m)] = sum[2 * half];
          smem[(n + 1) * kPitch + line_offset(m)] = sum[2 * half + 1];
        } else {
          struct alignas(2 * sizeof(T)) Pair {
            T low, high;
          };
          *reinterpret_cast<Pair*>(smem + m * kPitch + line_offset(n)) = {sum[2 * half],
                                                                          sum[2 * half + 1]};
        }
      }
    }
  }
}

// Eight neighbours of a line, as two vectors of 16 bytes.
template <typename T>
__device__ __forceinline__ void load_line(const T* at, T (&out)[kSegmentElems]) {
  struct alignas(16) Vector {
    T word[4];
  };
  const auto* vectors = reinterpret_cast<const Vector*>(at);
  const Vector low = vectors[0], high = vectors[1];
#pragma unroll
  for (int i = 0; i < kSegmentElems; ++i) out[i] = i < 4 ? low.word[i % 4] : high.word[i % 4];
}

// The terms of the epilogue, and the one rounding to D's type.
template <typename T>
__device__ __forceinline__ void finish_segment(const Problem& problem, const Segment& at,
                                               const T (&sum)[kSegmentElems]) {
  if constexpr (std::is_integral_v<T>) {
    // An int32 D is the plain product, exact: no term takes part.
    if (problem.d.dtype == DType::kInt32) return store_segment(sum, at, problem.d);
  }
  const SegmentTerms terms(problem.epilogue, at);
  float value[kSegmentElems];
  for_each_elem([&](int i) { value[i] = static_cast<float>(sum[i]); });
  terms.apply(value);
  store_segment<std::is_integral_v<T>>(value, at, problem.d);
}

// `smem` is free for use: every thread has finished reading what was there.
template <typename Warp>
__device__ __forceinline__ void store_tile(const Problem& problem, const Piece& piece,
                                           const Warp& warp_tile, char* smem, int thread) {
  constexpr CudaTile kTile = Warp::kTile;
  using T = Sum<Warp::kMultiply>;
  T* lines = reinterpret_cast<T*>(smem);
  constexpr int kSliceWords = line_words(kTile);
  const bool along_m = problem.d.row_stride == 1;
  if (along_m) {
    stage_accumulators<true>(warp_tile, lines + warp_tile.slice * kSliceWords);
  } else {
    stage_accumulators<false>(warp_tile, lines + warp_tile.slice * kSliceWords);
  }
  __syncthreads();

  constexpr int kSegmentsM = kTile.m / kSegmentElems;
  constexpr int kSegmentsN = kTile.n / kSegmentElems;
  constexpr int kSegments = kTile.m * kTile.n / kSegmentElems;
  static_assert(kTile.m % kSegmentElems == 0 && kTile.n % kSegmentElems == 0);
  const int pitch = along_m ? line_pitch(kTile.m, true) : line_pitch(kTile.n, false);
  const int64_t m_begin = piece.tile.m * int64_t{kTile.m};
  const int64_t n_begin = piece.tile.n * int64_t{kTile.n};
#pragma unroll 1
  for (int idx = thread; idx < kSegments; idx += kTile.num_threads()) {
    const int line = along_m ? idx / kSegmentsM : idx / kSegmentsN;
    const int begin = (along_m ? idx % kSegmentsM : idx % kSegmentsN) * kSegmentElems;
    Segment at{piece.batch, m_begin + (along_m ? begin : line), n_begin + (along_m ? line : begin),
               0, along_m};
    if (at.m >= problem.m || at.n >= problem.n) continue;
    const int64_t rest = along_m ? problem.m - at.m : problem.n - at.n;
    at.count = static_cast<int>(min(rest, int64_t{kSegmentElems}));

    T sum[kSegmentElems];
    const T* first = lines + line * pitch + line_offset(begin);
    load_line(first, sum);
#pragma unroll
    for (int slice = 1; slice < kTile.warps_k; ++slice) {
      T more[kSegmentElems];
      load_line(first + slice * kSliceWords, more);
      for_each_elem([&](int i) { sum[i] += more[i]; });
    }
    finish_segment(problem, at, sum);
  }
}

}  // namespace sparse_gemm::cuda
