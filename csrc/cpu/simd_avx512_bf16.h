// SIMD traits for AVX-512 with BF16, VBMI, VBMI2 and VNNI (Zen 4, Sapphire Rapids and later): those
// of AVX-512, and dot products of pairs and quads (panel_pairs.h).
#pragma once

#include "cpu/panel_offsets.h"
#include "cpu/simd_avx512.h"

namespace sparse_gemm::cpu {

// Streams of 16 bits a token: what both types of them have in common.
struct Avx512Bf16Streams {
  static constexpr int64_t kVectorBytes = 64;

 protected:
  // Both halves of an interleaving take the vector. A plain load GCC would repeat for each, and
  // loads are what bounds the loop; one that is called streaming it leaves alone (on ordinary
  // memory it is a load like others), and folds the address into it, as it does not for `volatile`.
  static __m512i load_once(const char* source) {
    return _mm512_stream_load_si512(const_cast<char*>(source));
  }
  // Where a vector of a stream has token t of 32. In each 128-bit quarter lie four of the first
  // sixteen tokens, then four of the others: interleaving two such vectors leaves the tokens in
  // order.
  static constexpr int token_at(int half) {
    return half / 8 * 4 + half % 4 + (half % 8 < 4 ? 0 : 16);
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

  using Offsets = ByteOffsets<4>;  // of each kept value
  static Offsets stream_offsets(int64_t stream_bytes) { return offsets_of_positions(stream_bytes); }

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
  struct StreamWords {
    alignas(64) uint16_t of[2][32];
  };
  static constexpr StreamWords kStreamWords = [] {
    StreamWords words{};
    for (int s = 0; s < 2; ++s) {
      for (int i = 0; i < 32; ++i) words.of[s][i] = static_cast<uint16_t>(2 * token_at(i) + s);
    }
    return words;
  }();
};

template <>
struct Avx512Bf16<int32_t> : Avx512<int32_t>, Avx512Bf16Streams {
  static constexpr Isa kIsa = Isa::kAvx512Bf16;

  // The six pairs of positions that a group of four can keep.
  static constexpr int kNumStreams = 6;
  static constexpr int kPairs[kNumStreams][2] = {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
  // A nibble's pair; of a nibble that names none, one that exists.
  static constexpr uint8_t kStreamOfNibble[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 2, 4, 5, 0};

  // Of two groups' streams, each a vector of 32 tokens: sixteen tokens' products go to `low`, the
  // others' to `high`.
  static void dot_halves(Vector weights, const char* first, const char* second, Vector* low,
                         Vector* high) {
    const Vector a = load_once(first);
    const Vector b = load_once(second);
    *low = _mm512_dpbusd_epi32(*low, _mm512_unpacklo_epi16(a, b), weights);
    *high = _mm512_dpbusd_epi32(*high, _mm512_unpackhi_epi16(a, b), weights);
  }

  using Offsets = ByteOffsets<2>;  // of each group
  static Offsets stream_offsets(int64_t stream_bytes) {
    Offsets offsets;
    for (unsigned byte = 0; byte < 256; ++byte) {
      for (unsigned i = 0; i < 2; ++i) {
        const unsigned stream = i * kNumStreams + kStreamOfNibble[byte >> (4 * i) & 0xF];
        offsets.of[byte][i] = static_cast<uint16_t>(stream * stream_bytes);
      }
    }
    return offsets;
  }

  // The streams of one group of 32 tokens, plus 128; `columns` has the four positions of each.
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
  struct StreamBytes {
    alignas(64) uint8_t of[kNumStreams][64];
  };
  static constexpr StreamBytes kStreamBytes = [] {
    StreamBytes bytes{};
    for (int s = 0; s < kNumStreams; ++s) {
      for (int i = 0; i < 64; ++i) {
        bytes.of[s][i] = static_cast<uint8_t>(4 * token_at(i / 2) + kPairs[s][i % 2]);
      }
    }
    return bytes;
  }();
};

}  // namespace sparse_gemm::cpu
