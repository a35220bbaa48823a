// SIMD traits for AVX2 with FMA and F16C: 256-bit vectors. What a traits type must give is said in
// simd_portable.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "core/device_props.h"
#include "core/numeric.h"

namespace sparse_gemm::cpu {

struct Avx2Base {
  using Index = __m256i;
  static constexpr Isa kIsa = Isa::kAvx2;
  static constexpr int kLanes = 8;

  // Four nibbles hold eight 2-bit positions. Lanes 0 to 3 belong to groups 0 and 1, lanes 4 to 7 to
  // groups 2 and 3; `select` permutes eight elements at a time, so both halves count from 0.
  static Index indices(const uint8_t* metadata) {
    uint16_t bits;
    std::memcpy(&bits, metadata, sizeof(bits));
    const __m256i shifts = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i group_start = _mm256_setr_epi32(0, 0, 4, 4, 0, 0, 4, 4);
    const __m256i position =
        _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(bits), shifts), _mm256_set1_epi32(3));
    return _mm256_or_si256(position, group_start);
  }
  static void transpose(const uint32_t* rows, int64_t row_stride, uint32_t* columns,
                        int64_t column_stride) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < kLanes; ++j) columns[j * column_stride + i] = rows[i * row_stride + j];
    }
  }
};

template <typename LaneType>
struct Avx2;

template <>
struct Avx2<float> : Avx2Base {
  using Lane = float;
  using Vector = __m256;

  static Vector zero() { return _mm256_setzero_ps(); }
  static Vector load(const float* source) { return _mm256_loadu_ps(source); }
  static void store(float* target, Vector vector) { _mm256_storeu_ps(target, vector); }
  static Vector broadcast(const float* source) { return _mm256_broadcast_ss(source); }
  // Loads of a broadcast cost no more than others, and registers are few: `four` stays in memory.
  static const float* load_four(const void* units) { return static_cast<const float*>(units); }
  template <int I>
  static Vector one_of_four(const float* four) {
    return broadcast(four + I);
  }
  static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return _mm256_fmadd_ps(a, b, sum); }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static void add_up(const Vector (&v)[4], float* out) {
    const Vector pairs = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
  }
  static Vector select(const float* dense, Index index) {
    const Vector low = _mm256_permutevar8x32_ps(load(dense), index);
    const Vector high = _mm256_permutevar8x32_ps(load(dense + kLanes), index);
    return _mm256_blend_ps(low, high, 0xF0);
  }

  static Vector widen(const float* source) { return load(source); }
  static Vector widen(const bfloat16* source) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static Vector widen(const float16* source) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
  }
  static Vector widen(const int8_t* source) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_8_bytes(source)));
  }
  static Vector widen(const float8_e5m2* source) {  // float16 without its last eight bits
    return _mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(load_8_bytes(source)), 8));
  }
  // Sign and magnitude in binary16's place, where the exponent wants to be raised by eight; what
  // then reads 480 is nan.
  static Vector widen(const float8_e4m3* source) {
    const __m128i bits = _mm_slli_epi16(_mm_cvtepi8_epi16(load_8_bytes(source)), 7);
    const __m128i half = _mm_and_si128(bits, _mm_set1_epi16(static_cast<int16_t>(0xBF80)));
    const Vector value = _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0f));
    const Vector magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), value);
    const Vector is_nan = _mm256_cmp_ps(magnitude, _mm256_set1_ps(480.0f), _CMP_EQ_OQ);
    return _mm256_or_ps(value, is_nan);
  }
  static Vector widen(const int4x2* source) {
    int32_t bits;
    std::memcpy(&bits, source, sizeof(bits));
    const __m256i top =
        _mm256_sllv_epi32(_mm256_set1_epi32(bits), _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0));
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(top, 28));
  }

  static Vector broadcast_widened(const bfloat16* source) {
    return _mm256_set1_ps(to_float(load_element(source)));
  }
  static Vector broadcast_widened(const float16* source) {
    return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(load_element(source).bits)));
  }
  static Vector round_to_float16(Vector v) {
    return _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  // As from_float<bfloat16> does it.
  static Vector round_to_bfloat16(Vector v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i rounded = _mm256_and_si256(sum, _mm256_set1_epi32(~0xFFFF));
    return _mm256_blendv_ps(_mm256_castsi256_ps(rounded), v, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  }

 private:
  template <typename Byte>
  static __m128i load_8_bytes(const Byte* source) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(source));
  }
};

template <>
struct Avx2<int32_t> : Avx2Base {
  using Lane = int32_t;
  using Vector = __m256i;

  static Vector zero() { return _mm256_setzero_si256(); }
  static Vector add(Vector a, Vector b) { return _mm256_add_epi32(a, b); }
  static Vector load(const int32_t* source) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
  }
  static void store(int32_t* target, Vector vector) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), vector);
  }
  static Vector broadcast(const int32_t* source) { return _mm256_set1_epi32(*source); }
  static const int32_t* load_four(const void* units) { return static_cast<const int32_t*>(units); }
  template <int I>
  static Vector one_of_four(const int32_t* four) {
    return broadcast(four + I);
  }
  static Vector multiply_add(Vector a, Vector b, Vector sum) {
    return _mm256_add_epi32(_mm256_mullo_epi32(a, b), sum);
  }
  static void add_up(const Vector (&v)[4], int32_t* out) {
    const Vector pairs =
        _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(out),
        _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)));
  }
  static Vector select(const int32_t* dense, Index index) {
    const Vector low = _mm256_permutevar8x32_epi32(load(dense), index);
    const Vector high = _mm256_permutevar8x32_epi32(load(dense + kLanes), index);
    return _mm256_blend_epi32(low, high, 0xF0);
  }

  static Vector widen(const int8_t* source) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(source)));
  }
};

}  // namespace sparse_gemm::cpu
