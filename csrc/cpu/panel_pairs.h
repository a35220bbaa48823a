// The panel's forms for dot products of pairs: the two weights that a group keeps are multiplied by
// one instruction.
//
// A group keeps two of four positions: six pairs. A block holds, for each group, six streams:
// stream s has the activations at the s-th pair of positions of each token, side by side. A group's
// weights lie side by side as well, as they are stored; its metadata names the stream.
//
// bfloat16: a unit is the pair of one group, and vdpbf16ps adds both products to a token's lane.
// int8: a unit is the pairs of two groups, four bytes, as vpdpbusd wants them; of the streams of
// the two groups, 32 tokens each, the pairs are interleaved in registers. vpdpbusd takes unsigned
// activations: they are packed plus 128, and a row's sums start at -128 times the sum of its
// weights.
#pragma once

#include <algorithm>
#include <cstdint>

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
  static constexpr int kPairBytes = 2 * sizeof(Element);
  static constexpr PanelLayout kLayout = pair_layout(Simd::kLanes, kPairBytes);
  static constexpr int kOffsetsPerGroup = 1;
  static constexpr int64_t kPackedGroups = 32;  // at once

  static int64_t stream_bytes(int64_t vectors) { return vectors * Simd::kLanes * kPairBytes; }

  template <typename Matrix>
  static SPARSE_GEMM_INLINE Lane first_sum(const Matrix& a, int64_t row) {
    if constexpr (sizeof(Element) == 1) {
      return Simd::first_sum(a.values_at(row, 0), a.kept);
    } else {
      return 0;
    }
  }

  static SPARSE_GEMM_INLINE void store_offsets(const uint8_t* metadata, int64_t groups,
                                               int64_t vectors, uint16_t* out) {
    const auto stride = static_cast<uint16_t>(stream_bytes(vectors));
    int64_t g = 0;
    for (; g + Simd::kLanes <= groups; g += Simd::kLanes) {
      Simd::store_stream_offsets(metadata + g / 2, static_cast<uint16_t>(Simd::kNumStreams * g),
                                 stride, out + g);
    }
    for (; g < groups; ++g) {
      const unsigned nibble = metadata[g / 2] >> (4 * (g % 2)) & 0xF;
      out[g] =
          static_cast<uint16_t>((Simd::kNumStreams * g + Simd::kStreamOfNibble[nibble]) * stride);
    }
  }

  // Four units, and V vectors of tokens for each.
  template <int V>
  static SPARSE_GEMM_INLINE void multiply_step(const char* units, const uint16_t* offsets,
                                               const char* block, Vector* sum) {
    constexpr int kUnitGroups = kLayout.step_groups / 4;
    const auto four = Simd::load_four(units);
    multiply<V>(Simd::template one_of_four<0>(four), offsets, block, sum);
    multiply<V>(Simd::template one_of_four<1>(four), offsets + kUnitGroups, block, sum);
    multiply<V>(Simd::template one_of_four<2>(four), offsets + 2 * kUnitGroups, block, sum);
    multiply<V>(Simd::template one_of_four<3>(four), offsets + 3 * kUnitGroups, block, sum);
  }
  template <int V>
  static SPARSE_GEMM_INLINE void multiply(Vector weights, const uint16_t* offsets,
                                          const char* block, Vector* sum) {
    if constexpr (sizeof(Element) == 2) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        sum[v] = Simd::dot_pairs(weights, block + offsets[0] + v * Simd::kVectorBytes, sum[v]);
      }
    } else {
#pragma GCC unroll 16
      for (int v = 0; v < V; v += 2) {
        Simd::dot_two_pairs(weights, block + offsets[0] + v / 2 * Simd::kVectorBytes,
                            block + offsets[1] + v / 2 * Simd::kVectorBytes, &sum[v], &sum[v + 1]);
      }
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
                            out + g * Simd::kNumStreams * bytes + token * kPairBytes);
      }
    }
  }
};

}  // namespace sparse_gemm::cpu
