// SIMD traits for AVX-512 (F, BW, VL, DQ): 512-bit vectors. What a traits type must give is said in
// simd_portable.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "core/device_props.h"
#include "core/numeric.h"

namespace sparse_gemm::cpu {

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
    constexpr int kOrOfAnd = 0xEA;  // (a & b) | c
    return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi32(3), group_start, kOrOfAnd);
  }
  static void store_offsets(const uint8_t* metadata, uint32_t first, uint32_t stride,
                            uint32_t* out) {
    const __m512i row =
        _mm512_add_epi32(indices(metadata), _mm512_set1_epi32(static_cast<int>(first)));
    _mm512_storeu_si512(out, _mm512_mullo_epi32(row, _mm512_set1_epi32(static_cast<int>(stride))));
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
  static Vector broadcast(const float* source) { return _mm512_set1_ps(*source); }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return _mm512_fmadd_ps(a, b, sum); }
  static float sum(Vector v) { return _mm512_reduce_add_ps(v); }
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
};

template <>
struct Avx512<int32_t> : Avx512Base {
  using Lane = int32_t;
  using Vector = __m512i;

  static Vector zero() { return _mm512_setzero_si512(); }
  static Vector load(const int32_t* source) { return _mm512_loadu_si512(source); }
  static void store(int32_t* target, Vector vector) { _mm512_storeu_si512(target, vector); }
  static Vector broadcast(const int32_t* source) { return _mm512_set1_epi32(*source); }
  static Vector multiply_add(Vector a, Vector b, Vector sum) {
    return _mm512_add_epi32(_mm512_mullo_epi32(a, b), sum);
  }
  static int32_t sum(Vector v) { return _mm512_reduce_add_epi32(v); }
  static Vector select(const int32_t* dense, Index index) {
    return _mm512_permutex2var_epi32(load(dense), index, load(dense + kLanes));
  }

  static Vector widen(const int8_t* source) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
  }
};

}  // namespace sparse_gemm::cpu
