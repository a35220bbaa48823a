// SIMD traits for AVX-512 with BF16, VBMI, VBMI2 and VNNI (Zen 4, Sapphire Rapids and later): those
// of AVX-512, and dot products of pairs and quads (panel_pairs.h).
#pragma once

#include "cpu/simd_avx512.h"

namespace sparse_gemm::cpu {

// The six pairs of positions that a group of four can keep, and their activations.
struct Avx512Bf16Streams {
  static constexpr int kNumStreams = 6;
  static constexpr int kPairs[kNumStreams][2] = {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
  // A nibble's pair; of a nibble that names none, one that exists.
  alignas(16) static constexpr uint8_t kStreamOfNibble[16] = {0, 0, 0, 0, 0, 0, 0, 0,
                                                              1, 3, 0, 0, 2, 4, 5, 0};
  static constexpr int64_t kVectorBytes = 64;

  // (first + i * kNumStreams + stream of group i) * stride for sixteen groups.
  static void store_stream_offsets(const uint8_t* metadata, uint16_t first, uint16_t stride,
                                   uint16_t* out) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(metadata));
    const __m128i low = _mm_and_si128(bytes, _mm_set1_epi8(0xF));
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0xF));
    const __m128i of_nibble = _mm_load_si128(reinterpret_cast<const __m128i*>(kStreamOfNibble));
    const __m128i stream = _mm_shuffle_epi8(of_nibble, _mm_unpacklo_epi8(low, high));
    const __m256i of_group =
        _mm256_setr_epi16(0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60, 66, 72, 78, 84, 90);
    const __m256i start = _mm256_add_epi16(of_group, _mm256_set1_epi16(static_cast<short>(first)));
    const __m256i line = _mm256_add_epi16(start, _mm256_cvtepu8_epi16(stream));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm256_mullo_epi16(line, _mm256_set1_epi16(static_cast<short>(stride))));
  }
};

template <typename LaneType>
struct Avx512Bf16;

template <>
struct Avx512Bf16<float> : Avx512<float>, Avx512Bf16Streams {
  static constexpr Isa kIsa = Isa::kAvx512Bf16;

  // Two vectors' lanes as bfloat16, rounded to nearest even.
  static __m512i as_pairs(Vector low, Vector high) {
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
  }
  static void store_pairs(void* target, __m512i pairs) { _mm512_storeu_si512(target, pairs); }
  // sum += both products of each token's pair, in float. Subnormal operands and results are zeros.
  static Vector dot_pairs(Vector weights, const char* stream, Vector sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(weights),
                            reinterpret_cast<__m512bh>(_mm512_load_si512(stream)));
  }

  // The streams of one group of sixteen tokens: `columns` has their positions 0 and 1, then 2
  // and 3.
  static void store_streams(const uint32_t* columns, int64_t stream_bytes, char* out) {
    const __m512i low = _mm512_load_si512(columns);
    const __m512i high = _mm512_load_si512(columns + kLanes);
#pragma GCC unroll 16
    for (int s = 0; s < kNumStreams; ++s) {
      const __m512i index = _mm512_load_si512(kStreamWords.of[s]);
      _mm512_store_si512(out + s * stream_bytes, _mm512_permutex2var_epi16(low, index, high));
    }
  }

 private:
  struct StreamWords {
    alignas(64) uint16_t of[kNumStreams][32];
  };
  static constexpr StreamWords kStreamWords = [] {
    StreamWords words{};
    for (int s = 0; s < kNumStreams; ++s) {
      for (int i = 0; i < 32; ++i) {
        const int position = kPairs[s][i % 2];
        words.of[s][i] = static_cast<uint16_t>(position / 2 * 32 + i / 2 * 2 + position % 2);
      }
    }
    return words;
  }();
};

template <>
struct Avx512Bf16<int32_t> : Avx512<int32_t>, Avx512Bf16Streams {
  static constexpr Isa kIsa = Isa::kAvx512Bf16;

  // Of two groups' streams, each a vector of 32 tokens: sixteen tokens' products go to `low`, the
  // others' to `high`.
  static void dot_two_pairs(Vector weights, const char* first, const char* second, Vector* low,
                            Vector* high) {
    const Vector a = load_once(first);
    const Vector b = load_once(second);
    *low = _mm512_dpbusd_epi32(*low, _mm512_unpacklo_epi16(a, b), weights);
    *high = _mm512_dpbusd_epi32(*high, _mm512_unpackhi_epi16(a, b), weights);
  }

  // The streams of one group of 32 tokens, plus 128; `columns` has the four positions of each. In
  // each 128-bit quarter lie four of the first sixteen tokens, then four of the others:
  // interleaving two such vectors leaves the tokens in order.
  static void store_streams(const uint32_t* columns, int64_t stream_bytes, char* out) {
    const __m512i to_unsigned = _mm512_set1_epi8(static_cast<char>(0x80));
    const __m512i low = _mm512_xor_si512(_mm512_load_si512(columns), to_unsigned);
    const __m512i high = _mm512_xor_si512(_mm512_load_si512(columns + kLanes), to_unsigned);
#pragma GCC unroll 16
    for (int s = 0; s < kNumStreams; ++s) {
      const __m512i index = _mm512_load_si512(kStreamBytes.of[s]);
      _mm512_store_si512(out + s * stream_bytes, _mm512_permutex2var_epi8(low, index, high));
    }
  }

  // -128 times the sum of a row's kept values: what its sums begin with when 128 is added to each
  // activation. May wrap, as they may.
  static int32_t first_sum(const int8_t* values, int64_t count) {
    Vector sum = zero();
    for (int64_t i = 0; i < count; i += kVectorBytes) {
      const int64_t left = count - i;
      const __mmask64 mask =
          left < kVectorBytes ? ~uint64_t{0} >> (kVectorBytes - left) : ~uint64_t{0};
      sum =
          _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), _mm512_maskz_loadu_epi8(mask, values + i));
    }
    return static_cast<int32_t>(-128 * static_cast<uint32_t>(_mm512_reduce_add_epi32(sum)));
  }

 private:
  // Both halves of the interleaving take the vector: without `volatile` the compiler loads it
  // twice, and loads are what bounds the loop.
  static Vector load_once(const char* source) {
    return *reinterpret_cast<const volatile __m512i*>(source);
  }

  struct StreamBytes {
    alignas(64) uint8_t of[kNumStreams][64];
  };
  static constexpr StreamBytes kStreamBytes = [] {
    StreamBytes bytes{};
    for (int s = 0; s < kNumStreams; ++s) {
      for (int i = 0; i < 64; ++i) {
        const int word = i / 2;
        const int token = word / 8 * 4 + word % 4 + (word % 8 < 4 ? 0 : 16);
        bytes.of[s][i] = static_cast<uint8_t>(4 * token + kPairs[s][i % 2]);
      }
    }
    return bytes;
  }();
};

}  // namespace sparse_gemm::cpu
