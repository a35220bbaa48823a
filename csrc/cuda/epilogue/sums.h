// An mma's accumulators as the sums they stand for: four floats or int32, of rows q and q + 8 (two
// neighbours along N each) of the 16 by 8 results.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/multiply.h"
#include "cuda/epilogue/segment.h"

namespace sparse_gemm::cuda {

template <Multiply kMultiply>
inline constexpr bool kSumsIntegers = traits_of(kMultiply).accumulator == DType::kInt32;

template <Multiply kMultiply>
using Sum = std::conditional_t<kSumsIntegers<kMultiply>, int32_t, float>;

template <Multiply kMultiply>
__device__ __forceinline__ void sums_of(const float (&accumulator)[4], float (&sum)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] = accumulator[i];
}

// The 4-bit elements of B are the upper half of the bytes that kS4AsS8 multiplies: 16 times as
// much.
template <Multiply kMultiply>
__device__ __forceinline__ void sums_of(const int32_t (&accumulator)[4], int32_t (&sum)[4]) {
  constexpr int kShift = kMultiply == Multiply::kS4AsS8 ? 4 : 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] = accumulator[i] >> kShift;
}

// Packed halves.
template <Multiply kMultiply>
__device__ __forceinline__ void sums_of(const uint32_t (&accumulator)[2], float (&sum)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] = f16_to_float(accumulator[i / 2] >> (i % 2 * 16) & 0xFFFF);
}

}  // namespace sparse_gemm::cuda
