// SIMD traits for AVX-512 with BF16 (Zen 4, Sapphire Rapids and later): those of AVX-512, and dot
// products of pairs (panel_pairs.h).
#pragma once

#include "cpu/simd_avx512.h"

namespace sparse_gemm::cpu {

template <typename LaneType>
struct Avx512Bf16;

template <>
struct Avx512Bf16<float> : Avx512<float> {
  static constexpr Isa kIsa = Isa::kAvx512Bf16;
  static constexpr int64_t kVectorBytes = 64;

  // Two vectors' lanes as bfloat16, rounded to nearest even.
  static __m512i as_pairs(Vector low, Vector high) {
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
  }
  static void store_pairs(void* target, __m512i pairs) { _mm512_storeu_si512(target, pairs); }
  // Of two positions' streams, each a vector of 32 tokens: sixteen tokens' products go to `low`,
  // the others' to `high`. Subnormal operands and results are zeros.
  static void dot_halves(Vector weights, const char* first, const char* second, Vector* low,
                         Vector* high) {
    const __m512i a = load_once(first);
    const __m512i b = load_once(second);
    *low = _mm512_dpbf16_ps(*low, (__m512bh)_mm512_unpacklo_epi16(a, b), (__m512bh)weights);
    *high = _mm512_dpbf16_ps(*high, (__m512bh)_mm512_unpackhi_epi16(a, b), (__m512bh)weights);
  }

  static constexpr int kNumStreams = 4;

  // The streams of one group of 32 tokens: `columns` has their positions 0 and 1, then 2 and 3.
  static void store_streams(const uint32_t* columns, int64_t stream_bytes, char* out) {
#pragma GCC unroll 16
    for (int s = 0; s < kNumStreams; ++s) {
      const uint32_t* tokens = columns + s / 2 * 2 * kLanes;
      const __m512i index = _mm512_load_si512(kStreamWords.of[s % 2]);
      _mm512_store_si512(out + s * stream_bytes,
                         _mm512_permutex2var_epi16(_mm512_load_si512(tokens), index,
                                                   _mm512_load_si512(tokens + kLanes)));
    }
  }

 private:
  // Both halves of an interleaving take the vector. A plain load GCC would repeat for each, and
  // loads are what bounds the loop; one that is called streaming it leaves alone (on ordinary
  // memory it is a load like others), and folds the address into it, as it does not for `volatile`.
  static __m512i load_once(const char* source) {
    return _mm512_stream_load_si512(const_cast<char*>(source));
  }
  struct StreamWords {
    alignas(64) uint16_t of[2][32];
  };
  // Where a vector of a stream has its 32 tokens: in each 128-bit quarter lie four of the first
  // sixteen, then four of the others. Interleaving two such vectors leaves them in order.
  static constexpr StreamWords kStreamWords = [] {
    StreamWords words{};
    for (int s = 0; s < 2; ++s) {
      for (int i = 0; i < 32; ++i) {
        const int token = i / 8 * 4 + i % 4 + (i % 8 < 4 ? 0 : 16);
        words.of[s][i] = static_cast<uint16_t>(2 * token + s);
      }
    }
    return words;
  }();
};

}  // namespace sparse_gemm::cpu
