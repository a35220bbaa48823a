// The panel's form for 32-bit lanes: float32, float16 widened to it, and, where there are no dot
// products of them, bfloat16 and int8.
//
// A unit is one kept value; a block holds the four rows of each group, K-major: lanes
// [group][position][vector].
#pragma once

#include <cstdint>

#include "cpu/configs.h"
#include "cpu/kernel.h"
#include "cpu/pack.h"
#include "cpu/panel_offsets.h"

namespace sparse_gemm::cpu {

template <typename SimdTraits, typename Dense>
struct LanesForm {
  using Simd = SimdTraits;
  using Lane = typename Simd::Lane;
  using Vector = typename Simd::Vector;
  static constexpr PanelLayout kLayout = lane_layout(Simd::kLanes);
  using Offsets = ByteOffsets<4>;
  static constexpr int64_t kPackedGroups = 32;  // at once
  static constexpr int64_t kVectorBytes = sizeof(Vector);

  static Offsets offsets(int64_t vectors) { return offsets_of_positions(vectors * kVectorBytes); }

  // Where a step's four units find their activations.
  using Found = typename Offsets::Found;
  static SPARSE_GEMM_INLINE Found find(const Offsets& offsets, const uint8_t* metadata) {
    return offsets.find(metadata[0]);
  }

  // Two groups: four units, and V vectors of tokens for each.
  template <int V>
  static SPARSE_GEMM_INLINE void multiply_step(const char* units, const Found& found,
                                               const char* block, int64_t, Vector* sum) {
    const auto four = Simd::load_four(units);
    multiply<V>(Simd::template one_of_four<0>(four), block + found.template at<0>(), sum);
    multiply<V>(Simd::template one_of_four<1>(four), block + found.template at<1>(), sum);
    multiply<V>(Simd::template one_of_four<2>(four), block + found.template at<2>(), sum);
    multiply<V>(Simd::template one_of_four<3>(four), block + found.template at<3>(), sum);
  }
  template <int V>
  static SPARSE_GEMM_INLINE void multiply(Vector weight, const char* x, Vector* sum) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const Vector tokens = Simd::load(reinterpret_cast<const Lane*>(x + v * kVectorBytes));
      sum[v] = Simd::multiply_add(weight, tokens, sum[v]);
    }
  }

  // Groups [group, +groups) of the tokens, zeros beyond the tokens and beyond K.
  static void pack(const Problem& problem, TokenSpan tokens, int64_t group, int64_t groups,
                   int64_t vectors, char* out) {
    pack_columns<Simd, Lane>(Activations<Dense>(problem.b), tokens, kGroupSize * group,
                             kGroupSize * (group + groups), problem.k, vectors * Simd::kLanes,
                             reinterpret_cast<uint32_t*>(out));
  }
};

}  // namespace sparse_gemm::cpu
