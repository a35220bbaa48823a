// SIMD traits for AVX-512 (F, BW, VL, DQ): 512-bit vectors. What a traits type must give is said in
// simd_portable.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "core/device_props.h"
#include "core/numeric.h"

namespace sparse_gemm::cpu {

inline constexpr int kOrOfAnd = 0xEA;  // (a & b) | c, as the truth table of ternarylogic

struct Avx512Base {
  using Index = __m512i;
  static constexpr Isa kIsa = Isa::kAvx512;
  static constexpr int kLanes = 16;

  // Eight nibbles hold sixteen 2-bit positions; vpermt2 takes indices 0 to 31 over two vectors.
  static Index indices(const uint8_t* metadata) {
    uint32_t bits;
    std::memcpy(&bits, metadata, sizeof(bits));
    const __m512i shifts =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i group_start =
        _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
    const __m512i shifted = _mm512_srlv_epi32(_mm512_set1_epi32(static_cast<int>(bits)), shifts);
    return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi32(3), group_start, kOrOfAnd);
  }
  // Neighbouring rows are interleaved, by 32 and by 64 bits: four rows' elements of a column then
  // lie in one of the 128-bit quarters, which the last two steps collect.
  static void transpose(const uint32_t* rows, int64_t row_stride, uint32_t* columns,
                        int64_t column_stride) {
    __m512i row[16];
    __m512i pair[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) row[i] = _mm512_loadu_si512(rows + i * row_stride);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 2) {
      pair[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
      pair[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) {
      row[i] = _mm512_unpacklo_epi64(pair[i], pair[i + 2]);
      row[i + 1] = _mm512_unpackhi_epi64(pair[i], pair[i + 2]);
      row[i + 2] = _mm512_unpacklo_epi64(pair[i + 1], pair[i + 3]);
      row[i + 3] = _mm512_unpackhi_epi64(pair[i + 1], pair[i + 3]);
    }
    constexpr int kEven = 0x88;  // quarters 0 and 2 of both operands
    constexpr int kOdd = 0xDD;   // quarters 1 and 3
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) {
      const __m512i even_low = _mm512_shuffle_i32x4(row[i], row[i + 4], kEven);
      const __m512i even_high = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], kEven);
      const __m512i odd_low = _mm512_shuffle_i32x4(row[i], row[i + 4], kOdd);
      const __m512i odd_high = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], kOdd);
      uint32_t* column = columns + i * column_stride;
      _mm512_storeu_si512(column, _mm512_shuffle_i32x4(even_low, even_high, kEven));
      _mm512_storeu_si512(column + 4 * column_stride,
                          _mm512_shuffle_i32x4(odd_low, odd_high, kEven));
      _mm512_storeu_si512(column + 8 * column_stride,
                          _mm512_shuffle_i32x4(even_low, even_high, kOdd));
      _mm512_storeu_si512(column + 12 * column_stride,
                          _mm512_shuffle_i32x4(odd_low, odd_high, kOdd));
    }
  }
};

template <typename LaneType>
struct Avx512;

template <>
struct Avx512<float> : Avx512Base {
  using Lane = float;
  using Vector = __m512;

  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* source) { return _mm512_loadu_ps(source); }
  static void store(float* target, Vector vector) { _mm512_storeu_ps(target, vector); }
  // A broadcast load takes as long as a load of a vector of activations, a shuffle runs beside it.
  static Vector load_four(const void* units) {
    return _mm512_broadcast_f32x4(_mm_load_ps(static_cast<const float*>(units)));
  }
  template <int I>
  static Vector one_of_four(Vector four) {
    return _mm512_permute_ps(four, I * 0x55);
  }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return _mm512_fmadd_ps(a, b, sum); }
  static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  // A transposition on the way: each quarter of the result has that of each of the four, added up.
  static Vector add_up_quarters(const Vector (&v)[4]) {
    const Vector low = add_neighbours(v[0], v[1]);
    const Vector high = add_neighbours(v[2], v[3]);
    return _mm512_add_ps(_mm512_shuffle_ps(low, high, _MM_SHUFFLE(1, 0, 1, 0)),
                         _mm512_shuffle_ps(low, high, _MM_SHUFFLE(3, 2, 3, 2)));
  }
  static void add_up(const Vector (&v)[4], float* out) {
    const Vector quads = add_up_quarters(v);
    const __m256 half =
        _mm256_add_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
  }
  static Vector select(const float* dense, Index index) {
    return _mm512_permutex2var_ps(load(dense), index, load(dense + kLanes));
  }

  static Vector widen(const float* source) { return load(source); }
  static Vector widen(const bfloat16* source) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static Vector widen(const float16* source) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
  }
  static Vector widen(const int8_t* source) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16_bytes(source)));
  }
  static Vector widen(const float8_e5m2* source) {  // float16 without its last eight bits
    return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(load_16_bytes(source)), 8));
  }
  // Sign and magnitude in binary16's place, where the exponent wants to be raised by eight; what
  // then reads 480 is nan.
  static Vector widen(const float8_e4m3* source) {
    const __m256i bits = _mm256_slli_epi16(_mm256_cvtepi8_epi16(load_16_bytes(source)), 7);
    const __m256i half = _mm256_and_si256(bits, _mm256_set1_epi16(static_cast<int16_t>(0xBF80)));
    const Vector value = _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f));
    const __mmask16 is_nan =
        _mm512_cmp_ps_mask(_mm512_abs_ps(value), _mm512_set1_ps(480.0f), _CMP_EQ_OQ);
    return _mm512_mask_mov_ps(value, is_nan, _mm512_set1_ps(__builtin_nanf("")));
  }
  static Vector widen(const int4x2* source) {
    int32_t bits[2];
    std::memcpy(bits, source, sizeof(bits));
    constexpr __mmask16 kUpperHalf = 0xFF00;
    const __m512i both = _mm512_mask_set1_epi32(_mm512_set1_epi32(bits[0]), kUpperHalf, bits[1]);
    const __m512i shifts =
        _mm512_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0, 28, 24, 20, 16, 12, 8, 4, 0);
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_sllv_epi32(both, shifts), 28));
  }

  static Vector broadcast_widened(const bfloat16* source) {
    return _mm512_set1_ps(to_float(load_element(source)));
  }
  static Vector broadcast_widened(const float16* source) {
    return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(load_element(source).bits)));
  }
  static Vector round_to_float16(Vector v) {
    return _mm512_cvtph_ps(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  // As from_float<bfloat16> does it.
  static Vector round_to_bfloat16(Vector v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i rounded = _mm512_and_si512(sum, _mm512_set1_epi32(~0xFFFF));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(_mm512_castsi512_ps(rounded), is_nan, v);
  }

 private:
  // In each quarter a0+a2, b0+b2, a1+a3, b1+b3.
  static Vector add_neighbours(Vector a, Vector b) {
    return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
  template <typename Byte>
  static __m128i load_16_bytes(const Byte* source) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
  }
};

template <>
struct Avx512<int32_t> : Avx512Base {
  using Lane = int32_t;
  using Vector = __m512i;

  static Vector zero() { return _mm512_setzero_si512(); }
  static Vector add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }
  static Vector load(const int32_t* source) { return _mm512_loadu_si512(source); }
  static void store(int32_t* target, Vector vector) { _mm512_storeu_si512(target, vector); }
  static Vector load_four(const void* units) {
    return _mm512_broadcast_i32x4(_mm_load_si128(static_cast<const __m128i*>(units)));
  }
  template <int I>
  static Vector one_of_four(Vector four) {
    return _mm512_shuffle_epi32(four, static_cast<_MM_PERM_ENUM>(I * 0x55));
  }
  static Vector multiply_add(Vector a, Vector b, Vector sum) {
    return _mm512_add_epi32(_mm512_mullo_epi32(a, b), sum);
  }
  static Vector add_up_quarters(const Vector (&v)[4]) {
    const Vector low = add_neighbours(v[0], v[1]);
    const Vector high = add_neighbours(v[2], v[3]);
    return _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
  }
  static void add_up(const Vector (&v)[4], int32_t* out) {
    const Vector quads = add_up_quarters(v);
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(quads), _mm512_extracti32x8_epi32(quads, 1));
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(out),
        _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
  }
  static Vector select(const int32_t* dense, Index index) {
    return _mm512_permutex2var_epi32(load(dense), index, load(dense + kLanes));
  }

  static Vector widen(const int8_t* source) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
  }

 private:
  static Vector add_neighbours(Vector a, Vector b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  }
};

}  // namespace sparse_gemm::cpu
