// The panel's form for dot products within 32-bit lanes: a unit of weights is two halves of 16
// bits, each with a stream of its own, and one instruction multiplies both.
//
// A stream has 16 bits of each token. Of the streams that a unit's halves name, a vector of 32
// tokens each, the halves are interleaved in registers, which gives two vectors of 16 tokens.
//
// bfloat16: a half is one kept value, a unit the two that a group keeps; a group has four streams,
// its positions, and vdpbf16ps adds both products to a token's lane.
// int8: a half is the two values that a group keeps, a unit two groups; a group has six streams,
// one for each pair of positions, and vpdpbusd adds four products. It takes unsigned activations:
// they are packed plus 128, and a row's sums start at -128 times the sum of its weights.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/configs.h"
#include "cpu/kernel.h"
#include "cpu/pack.h"
#include "cpu/weights.h"

namespace sparse_gemm::cpu {

template <typename SimdTraits, typename Element>
struct PairsForm {
  using Simd = SimdTraits;
  using Lane = typename Simd::Lane;
  using Vector = typename Simd::Vector;
  static constexpr int kHalfBytes = 2;
  static constexpr PanelLayout kLayout = pair_layout(Simd::kLanes, sizeof(Element));
  using Offsets = typename Simd::Offsets;
  static constexpr int64_t kPackedGroups = 32;  // at once

  static int64_t stream_bytes(int64_t vectors) { return vectors * Simd::kLanes * kHalfBytes; }

  template <typename Matrix>
  static SPARSE_GEMM_INLINE Lane first_sum(const Matrix& a, int64_t row) {
    if constexpr (sizeof(Element) == 1) {
      return Simd::first_sum(a.values_at(row, 0), a.kept);
    } else {
      return 0;
    }
  }

  static Offsets offsets(int64_t vectors) { return Simd::stream_offsets(stream_bytes(vectors)); }

  // Four units, and V vectors of tokens for each.
  template <int V>
  static SPARSE_GEMM_INLINE void multiply_step(const char* units, const uint8_t* metadata,
                                               const Offsets& offsets, const char* block,
                                               int64_t byte_stride, Vector* sum) {
    const auto four = Simd::load_four(units);
    if constexpr (sizeof(Element) == 2) {
      uint16_t bytes;
      std::memcpy(&bytes, metadata, sizeof(bytes));
      const auto low = offsets.find(static_cast<uint8_t>(bytes));
      const auto high = offsets.find(static_cast<uint8_t>(bytes >> 8));
      const char* next = block + byte_stride;
      multiply<V>(Simd::template one_of_four<0>(four), block + low.template at<0>(),
                  block + low.template at<1>(), sum);
      multiply<V>(Simd::template one_of_four<1>(four), block + low.template at<2>(),
                  block + low.template at<3>(), sum);
      multiply<V>(Simd::template one_of_four<2>(four), next + high.template at<0>(),
                  next + high.template at<1>(), sum);
      multiply<V>(Simd::template one_of_four<3>(four), next + high.template at<2>(),
                  next + high.template at<3>(), sum);
    } else {
      uint32_t bytes;
      std::memcpy(&bytes, metadata, sizeof(bytes));
      multiply_byte<V, 0>(four, bytes, offsets, block, sum);
      multiply_byte<V, 1>(four, bytes, offsets, block + byte_stride, sum);
      multiply_byte<V, 2>(four, bytes, offsets, block + 2 * byte_stride, sum);
      multiply_byte<V, 3>(four, bytes, offsets, block + 3 * byte_stride, sum);
    }
  }
  // The I-th unit, of the two groups that the I-th byte has.
  template <int V, int I>
  static SPARSE_GEMM_INLINE void multiply_byte(Vector four, uint32_t bytes, const Offsets& offsets,
                                               const char* block, Vector* sum) {
    const auto found = offsets.find(static_cast<uint8_t>(bytes >> (8 * I)));
    multiply<V>(Simd::template one_of_four<I>(four), block + found.template at<0>(),
                block + found.template at<1>(), sum);
  }
  template <int V>
  static SPARSE_GEMM_INLINE void multiply(Vector weights, const char* first, const char* second,
                                          Vector* sum) {
#pragma GCC unroll 16
    for (int v = 0; v < V; v += 2) {
      Simd::dot_halves(weights, first + v / 2 * Simd::kVectorBytes,
                       second + v / 2 * Simd::kVectorBytes, &sum[v], &sum[v + 1]);
    }
  }

  // Groups [group, +groups) of the tokens, zeros beyond the tokens and beyond K.
  static void pack(const Problem& problem, TokenSpan tokens, int64_t group, int64_t groups,
                   int64_t vectors, char* out) {
    constexpr int64_t kGroupUnits = kGroupSize * sizeof(Element) / 4;
    constexpr int64_t kWidth = kLayout.step_vectors * Simd::kLanes;  // tokens
    alignas(64) uint32_t columns[kPackedGroups * kGroupUnits * kWidth];
    const int64_t bytes = stream_bytes(vectors);
    for (int64_t token = 0; token < vectors * Simd::kLanes; token += kWidth) {
      const TokenSpan some{tokens.begin + token, std::min(kWidth, tokens.count - token)};
      pack_columns<Simd, Element>(Activations<Element>(problem.b), some, kGroupSize * group,
                                  kGroupSize * (group + groups), problem.k, kWidth, columns);
      for (int64_t g = 0; g < groups; ++g) {
        Simd::store_streams(columns + g * kGroupUnits * kWidth, bytes,
                            out + g * Simd::kNumStreams * bytes + token * kHalfBytes);
      }
    }
  }
};

}  // namespace sparse_gemm::cpu
