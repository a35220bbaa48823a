// The panel's form for bfloat16 with dot products of pairs: a unit of weights is the two values
// that a group keeps, and vdpbf16ps adds both products to a token's lane.
//
// A group has four streams, its positions, of 16 bits a token. Of the two that a unit's values
// name, a vector of 32 tokens each, the halves are interleaved in registers, which gives two
// vectors of 16 tokens.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/configs.h"
#include "cpu/kernel.h"
#include "cpu/pack.h"
#include "cpu/panel_offsets.h"

namespace sparse_gemm::cpu {

template <typename SimdTraits>
struct PairsForm {
  using Simd = SimdTraits;
  using Lane = typename Simd::Lane;
  using Vector = typename Simd::Vector;
  static constexpr int kHalfBytes = 2;
  static constexpr PanelLayout kLayout = pair_layout(Simd::kLanes);
  using Offsets = ByteOffsets<4>;
  static constexpr int64_t kPackedGroups = 32;  // at once

  static int64_t stream_bytes(int64_t vectors) { return vectors * Simd::kLanes * kHalfBytes; }

  static Offsets offsets(int64_t vectors) { return offsets_of_positions(stream_bytes(vectors)); }

  // Where a step's four units find their activations.
  struct Found {
    typename Offsets::Found low;
    typename Offsets::Found high;
  };
  static SPARSE_GEMM_INLINE Found find(const Offsets& offsets, const uint8_t* metadata) {
    uint16_t both = 0;
    std::memcpy(&both, metadata, sizeof(both));
    return {offsets.find(both & 0xFF), offsets.find(both >> 8)};
  }

  // Four units, and V vectors of tokens for each.
  template <int V>
  static SPARSE_GEMM_INLINE void multiply_step(const char* units, const Found& found,
                                               const char* block, int64_t byte_stride,
                                               Vector* sum) {
    const auto four = Simd::load_four(units);
    const auto& [low, high] = found;
    const char* next = block + byte_stride;
    multiply<V>(Simd::template one_of_four<0>(four), block + low.template at<0>(),
                block + low.template at<1>(), sum);
    multiply<V>(Simd::template one_of_four<1>(four), block + low.template at<2>(),
                block + low.template at<3>(), sum);
    multiply<V>(Simd::template one_of_four<2>(four), next + high.template at<0>(),
                next + high.template at<1>(), sum);
    multiply<V>(Simd::template one_of_four<3>(four), next + high.template at<2>(),
                next + high.template at<3>(), sum);
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
    constexpr int64_t kGroupUnits = kGroupSize / 2;
    constexpr int64_t kWidth = kLayout.step_vectors * Simd::kLanes;  // tokens
    alignas(64) uint32_t columns[kPackedGroups * kGroupUnits * kWidth];
    const int64_t bytes = stream_bytes(vectors);
    for (int64_t token = 0; token < vectors * Simd::kLanes; token += kWidth) {
      const TokenSpan some{tokens.begin + token, std::min(kWidth, tokens.count - token)};
      pack_columns<Simd, bfloat16>(Activations<bfloat16>(problem.b), some, kGroupSize * group,
                                   kGroupSize * (group + groups), problem.k, kWidth, columns);
      for (int64_t g = 0; g < groups; ++g) {
        Simd::store_streams(columns + g * kGroupUnits * kWidth, bytes,
                            out + g * Simd::kNumStreams * bytes + token * kHalfBytes);
      }
    }
  }
};

}  // namespace sparse_gemm::cpu
