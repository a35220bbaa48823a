// The forms of row_dot and row_block that need VBMI and VNNI: 512 bits of int8 at once. A
// permutation of two sources, in row_block of one, picks activations of their own width: a quarter
// of the instructions that 32-bit lanes take.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/dense_panel.h"
#include "cpu/position_tables.h"
#include "cpu/row_block.h"
#include "cpu/row_forms.h"
#include "cpu/simd_avx512_vnni.h"

namespace sparse_gemm::cpu {

// int8 by int8: quads of products by vpdpbusd, whose first operand is unsigned. Activations are
// packed with 128 added; a row's sums begin with -128 times the sum of its weights. Sums are exact:
// what wraps in between wraps back.
struct Int8Form {
  using Simd = Avx512Vnni<int32_t>;
  using Dense = int8_t;
  using Packed = uint8_t;
  using Matrix = StoredRows<int8_t>;
  // Not __m512i, whose elements are of 64 bits: GCC 12 would copy each sum twice for each product,
  // and keep some of them in memory.
  typedef int32_t Sum __attribute__((vector_size(64), aligned(64)));
  using Weights = __m512i;
  using Index = __m512i;
  static constexpr int64_t kKept = 64;
  static constexpr int kOffset = 128;
  static constexpr Packed kZero = kOffset;

  static SPARSE_GEMM_INLINE int32_t first_sum(const Matrix& a, int64_t row) {
    return Simd::first_sum(a.values_at(row, 0), a.kept);
  }
  static SPARSE_GEMM_INLINE Sum zero() { return Sum{}; }
  static SPARSE_GEMM_INLINE Weights weights(const Matrix& a, int64_t row, int64_t i) {
    return _mm512_loadu_si512(a.values_at(row, i));
  }
  static SPARSE_GEMM_INLINE Index indices(const uint8_t* metadata) {
    int64_t bits[2];
    std::memcpy(bits, metadata, sizeof(bits));
    return indices_of<1>(bits);
  }
  // bits: of the lower half's 32 kept values, and of the upper half's.
  template <int kRows>
  static SPARSE_GEMM_INLINE Index indices_of(const int64_t (&bits)[2]) {
    static constexpr PositionTables<uint8_t, 64, kRows> kTables;
    constexpr __mmask8 kUpperQwords = 0xF0;
    const __m512i source =
        _mm512_mask_set1_epi64(_mm512_set1_epi64(bits[0]), kUpperQwords, bits[1]);
    const __m512i shifted = _mm512_multishift_epi64_epi8(_mm512_load_si512(kTables.shift), source);
    return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi8(3),
                                     _mm512_load_si512(kTables.group_start), kOrOfAnd);
  }
  static SPARSE_GEMM_INLINE Sum multiply_add(Weights weights, const Packed* x, Index index,
                                             Sum sum) {
    const __m512i picked =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(x), index, _mm512_loadu_si512(x + kKept));
    return (Sum)_mm512_dpbusd_epi32((__m512i)sum, picked, weights);
  }

  static SPARSE_GEMM_INLINE void pack(const Dense* source, int64_t stride, int64_t count,
                                      Packed* out) {
    if (stride == 1) {
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(source[i] + kOffset);
    } else {
      for (int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<uint8_t>(source[i * stride] + kOffset);
      }
    }
  }
};

template <>
struct RowForm<Avx512Vnni<int32_t>, int8_t, int8_t, false> : Int8Form {};

template <>
struct TwoRowsForm<Avx512Vnni<int32_t>, int8_t> : Int8Form {
  static constexpr int64_t kKept = 32;  // of each

  static SPARSE_GEMM_INLINE __m512i load(const char* source) { return _mm512_load_si512(source); }
  static SPARSE_GEMM_INLINE void store(char* target, __m512i halves) {
    _mm512_store_si512(target, halves);
  }

  static SPARSE_GEMM_INLINE Weights weights(const Matrix& low, const Matrix& high, int64_t i) {
    const auto half = [i](const Matrix& a) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.values_at(0, i)));
    };
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(low)), half(high), 1);
  }
  static SPARSE_GEMM_INLINE __m512i indices(const Matrix& low, const Matrix& high, int64_t i) {
    int64_t bits[2];
    std::memcpy(&bits[0], low.metadata_at(0, i), sizeof(bits[0]));
    std::memcpy(&bits[1], high.metadata_at(0, i), sizeof(bits[1]));
    return indices_of<2>(bits);
  }
  static SPARSE_GEMM_INLINE Sum multiply_add(Weights weights, __m512i index, const Packed* x,
                                             Sum sum) {
    const __m512i picked = _mm512_permutexvar_epi8(index, _mm512_load_si512(x));
    return (Sum)_mm512_dpbusd_epi32((__m512i)sum, picked, weights);
  }
  // Adds the lower halves of four vectors to four numbers, the upper ones to four others.
  static SPARSE_GEMM_INLINE void add_up(const Sum (&sums)[4], int32_t* low, int32_t* high) {
    const __m512i v[4] = {(__m512i)sums[0], (__m512i)sums[1], (__m512i)sums[2], (__m512i)sums[3]};
    const __m512i quads = Simd::add_up_quarters(v);
    add_to(low, _mm512_castsi512_si128(quads), _mm512_extracti32x4_epi32(quads, 1));
    add_to(high, _mm512_extracti32x4_epi32(quads, 2), _mm512_extracti32x4_epi32(quads, 3));
  }

 private:
  static SPARSE_GEMM_INLINE void add_to(int32_t* four, __m128i a, __m128i b) {
    auto* sums = reinterpret_cast<__m128i*>(four);
    _mm_storeu_si128(sums, _mm_add_epi32(_mm_loadu_si128(sums), _mm_add_epi32(a, b)));
  }
};

template <>
struct QuadsForm<Avx512Vnni<int32_t>, int8_t> : Int8Form {
  using Tokens = __m512i;
  static constexpr int64_t kExpandedK = 64;

  static SPARSE_GEMM_INLINE Tokens load(const char* source) { return _mm512_load_si512(source); }
  static SPARSE_GEMM_INLINE Weights broadcast(const char* group) {
    int32_t quad;
    std::memcpy(&quad, group, sizeof(quad));
    return _mm512_set1_epi32(quad);
  }
  static SPARSE_GEMM_INLINE Sum multiply_add(Weights weights, Tokens tokens, Sum sum) {
    return (Sum)_mm512_dpbusd_epi32((__m512i)sum, tokens, weights);
  }
  static SPARSE_GEMM_INLINE void add_to(int32_t* total, Sum sum) {
    _mm512_storeu_si512(total, _mm512_add_epi32(_mm512_loadu_si512(total), (__m512i)sum));
  }

  // Bytes have 128 added, whole vectors of them.
  static void to_unsigned(char* data, int64_t bytes) {
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(kOffset));
    for (int64_t i = 0; i < bytes; i += 64) {
      _mm512_store_si512(data + i, _mm512_xor_si512(_mm512_load_si512(data + i), sign));
    }
  }

  // The row's kept values from `first` on, at their places among `k` of K: zeros elsewhere and from
  // K on. What its sums begin with, as in row_dot: -128 times the sum of these values.
  static int32_t expand(const Matrix& row, int64_t first, int64_t k, char* out) {
    const int64_t end = std::min(first + k / 2, row.kept);
    __m512i sum = _mm512_setzero_si512();
    int64_t i = first;
    for (; i + kPieceKept <= end; i += kPieceKept, out += 2 * kPieceKept) {
      const __m512i metadata = _mm512_loadu_si512(row.metadata_at(0, i));
      sum = expand_piece<kPieceKept>(metadata, row.values_at(0, i), kPieceKept, out, sum);
    }
    if (i < end) {
      const __m512i metadata =
          _mm512_maskz_loadu_epi8(low_bits(ceil_div(end - i, 4)), row.metadata_at(0, i));
      sum = expand_piece<1>(metadata, row.values_at(0, i), end - i, out, sum);
    }
    return static_cast<int32_t>(-kOffset * static_cast<uint32_t>(_mm512_reduce_add_epi32(sum)));
  }
  static SPARSE_GEMM_INLINE Sum begin(int32_t first) { return (Sum)_mm512_set1_epi32(first); }

 private:
  static constexpr int64_t kStepKept = kExpandedK / 2;
  static constexpr int64_t kPieceKept = 256;  // whose metadata is a vector

  static SPARSE_GEMM_INLINE __mmask64 low_bits(int64_t count) {
    return count < 64 ? (uint64_t{1} << count) - 1 : ~uint64_t{0};
  }

  // `kept` values, a multiple of kMultiple.
  template <int64_t kMultiple>
  static SPARSE_GEMM_INLINE __m512i expand_piece(__m512i metadata, const int8_t* values,
                                                 int64_t kept, char* out, __m512i sum) {
    alignas(64) __mmask64 places[kPieceKept / kStepKept];
    _mm512_store_si512(places, places_of(metadata));
    for (int64_t step = 0; step * kStepKept < kept; ++step) {
      const int8_t* source = values + step * kStepKept;
      __m256i some;
      if constexpr (kMultiple % kStepKept == 0) {
        some = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
      } else {
        const auto mask = static_cast<__mmask32>(low_bits(kept - step * kStepKept));
        some = _mm256_maskz_loadu_epi8(mask, source);
      }
      const __m512i expanded =
          _mm512_maskz_expand_epi8(_load_mask64(&places[step]), _mm512_castsi256_si512(some));
      _mm512_store_si512(out + step * kExpandedK, expanded);
      sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), expanded);
    }
    return sum;
  }
  // Nibbles of metadata, two positions each -> their two bits.
  static SPARSE_GEMM_INLINE __m512i places_of(__m512i metadata) {
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(1 | 1, 2 | 1, 4 | 1, 8 | 1, 1 | 2, 2 | 2, 4 | 2, 8 | 2,  //
                      1 | 4, 2 | 4, 4 | 4, 8 | 4, 1 | 8, 2 | 8, 4 | 8, 8 | 8));
    const __m512i nibble = _mm512_set1_epi8(0xF);
    const __m512i low = _mm512_and_si512(metadata, nibble);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(metadata, 4), nibble);
    return _mm512_or_si512(_mm512_shuffle_epi8(table, low),
                           _mm512_slli_epi16(_mm512_shuffle_epi8(table, high), 4));
  }
};

}  // namespace sparse_gemm::cpu
