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
  static void store_offsets(const uint8_t* metadata, uint32_t first, uint32_t stride,
                            uint32_t* out) {
    const int low = static_cast<int>(first);
    const int high = low + kLanes;  // lanes 4 to 7: groups 2 and 3
    const __m256i start = _mm256_setr_epi32(low, low, low, low, high, high, high, high);
    const __m256i row = _mm256_add_epi32(indices(metadata), start);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm256_mullo_epi32(row, _mm256_set1_epi32(static_cast<int>(stride))));
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
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return _mm256_fmadd_ps(a, b, sum); }
  static float sum(Vector v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
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
};

template <>
struct Avx2<int32_t> : Avx2Base {
  using Lane = int32_t;
  using Vector = __m256i;

  static Vector zero() { return _mm256_setzero_si256(); }
  static Vector load(const int32_t* source) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
  }
  static void store(int32_t* target, Vector vector) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), vector);
  }
  static Vector broadcast(const int32_t* source) { return _mm256_set1_epi32(*source); }
  static Vector multiply_add(Vector a, Vector b, Vector sum) {
    return _mm256_add_epi32(_mm256_mullo_epi32(a, b), sum);
  }
  static int32_t sum(Vector v) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    half = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 1)));
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
