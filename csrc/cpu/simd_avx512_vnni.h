// SIMD traits for AVX-512 with VBMI, VBMI2 and VNNI (Ice Lake, Zen 4 and later): those of AVX-512
// for 32-bit integers, and what goes with dot products of quads.
#pragma once

#include "cpu/simd_avx512.h"

namespace sparse_gemm::cpu {

template <typename LaneType>
struct Avx512Vnni;

template <>
struct Avx512Vnni<int32_t> : Avx512<int32_t> {
  static constexpr Isa kIsa = Isa::kAvx512Vnni;

  // -128 times the sum of a row's kept values: what its sums begin with when 128 is added to each
  // activation. May wrap, as they may.
  static int32_t first_sum(const int8_t* values, int64_t count) {
    constexpr int64_t kBytes = 64;
    constexpr int64_t kChains = 4;  // hide a dot product's latency
    const Vector ones = _mm512_set1_epi8(1);
    Vector sums[kChains] = {zero(), zero(), zero(), zero()};
    int64_t i = 0;
    for (; i + kChains * kBytes <= count; i += kChains * kBytes) {
#pragma GCC unroll 16
      for (int64_t c = 0; c < kChains; ++c) {
        const Vector some = _mm512_loadu_si512(values + i + c * kBytes);
        sums[c] = _mm512_dpbusd_epi32(sums[c], ones, some);
      }
    }
    for (; i < count; i += kBytes) {
      const int64_t left = count - i;
      const __mmask64 mask = left < kBytes ? ~uint64_t{0} >> (kBytes - left) : ~uint64_t{0};
      sums[0] = _mm512_dpbusd_epi32(sums[0], ones, _mm512_maskz_loadu_epi8(mask, values + i));
    }
    const Vector sum =
        _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
    return static_cast<int32_t>(-128 * static_cast<uint32_t>(_mm512_reduce_add_epi32(sum)));
  }
};

}  // namespace sparse_gemm::cpu
