// Vectors of places for the AVX-512 of the level kAvx512Vnni, which has VBMI2: it moves 8- and
// 16-bit lanes together and apart by a mask. What a traits type must give is said in
// block_kernel.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "core/macros.h"

namespace sparse_gemm::format {

struct Avx512VnniBase {
  using Vector = __m512i;
  static constexpr int kVectorBytes = 64;

  static Vector load(const std::byte* source) { return _mm512_loadu_si512(source); }
  static void store(std::byte* target, Vector vector) { _mm512_storeu_si512(target, vector); }
  static Vector bit_and(Vector a, Vector b) { return _mm512_and_si512(a, b); }

 protected:
  static void store_half(std::byte* target, Vector vector) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), _mm512_castsi512_si256(vector));
  }
  static Vector load_half(const std::byte* source) {
    const auto* half = reinterpret_cast<const __m256i*>(source);
    return _mm512_castsi256_si512(_mm256_loadu_si256(half));
  }
};

template <typename Lane>
struct Avx512Vnni;

template <>
struct Avx512Vnni<uint8_t> : Avx512VnniBase {
  using Mask = __mmask64;
  static Vector broadcast(uint8_t x) { return _mm512_set1_epi8(static_cast<char>(x)); }
  static Mask nonzero(Vector x, Vector bits) { return _mm512_test_epi8_mask(x, bits); }
  static void compact(Vector x, uint64_t kept, std::byte* values) {
    store_half(values, _mm512_maskz_compress_epi8(kept, x));
  }
  static Vector expand(const std::byte* values, uint64_t kept) {
    return _mm512_maskz_expand_epi8(kept, load_half(values));
  }
  static Vector min(Vector a, Vector b) { return _mm512_min_epu8(a, b); }
  static Vector abs(Vector a) { return _mm512_abs_epi8(a); }
  static Vector subtract(Vector a, Vector b) { return _mm512_sub_epi8(a, b); }
  static Mask greater(Vector a, Vector b) { return _mm512_cmpgt_epi8_mask(a, b); }
  static Vector keep(Mask mask, Vector x) { return _mm512_maskz_mov_epi8(mask, x); }
  template <int kBy>
  static Vector rotate(Vector x) {
    return _mm512_ror_epi32(x, 8 * kBy);
  }
};

template <>
struct Avx512Vnni<uint16_t> : Avx512VnniBase {
  using Mask = __mmask32;
  static Vector broadcast(uint16_t x) { return _mm512_set1_epi16(static_cast<int16_t>(x)); }
  static Mask nonzero(Vector x, Vector bits) { return _mm512_test_epi16_mask(x, bits); }
  static void compact(Vector x, uint64_t kept, std::byte* values) {
    store_half(values, _mm512_maskz_compress_epi16(static_cast<Mask>(kept), x));
  }
  static Vector expand(const std::byte* values, uint64_t kept) {
    return _mm512_maskz_expand_epi16(static_cast<Mask>(kept), load_half(values));
  }
  static Vector min(Vector a, Vector b) { return _mm512_min_epu16(a, b); }
  static Vector subtract(Vector a, Vector b) { return _mm512_sub_epi16(a, b); }
  static Mask greater(Vector a, Vector b) { return _mm512_cmpgt_epi16_mask(a, b); }
  static Vector keep(Mask mask, Vector x) { return _mm512_maskz_mov_epi16(mask, x); }
  template <int kBy>
  static Vector rotate(Vector x) {
    return _mm512_ror_epi64(x, 16 * kBy);
  }
};

template <>
struct Avx512Vnni<uint32_t> : Avx512VnniBase {
  using Mask = __mmask16;
  static Vector broadcast(uint32_t x) { return _mm512_set1_epi32(static_cast<int32_t>(x)); }
  static Mask nonzero(Vector x, Vector bits) { return _mm512_test_epi32_mask(x, bits); }
  static void compact(Vector x, uint64_t kept, std::byte* values) {
    store_half(values, _mm512_maskz_compress_epi32(static_cast<Mask>(kept), x));
  }
  static Vector expand(const std::byte* values, uint64_t kept) {
    return _mm512_maskz_expand_epi32(static_cast<Mask>(kept), load_half(values));
  }
  static Vector min(Vector a, Vector b) { return _mm512_min_epu32(a, b); }
  static Vector subtract(Vector a, Vector b) { return _mm512_sub_epi32(a, b); }
  static Mask greater(Vector a, Vector b) { return _mm512_cmpgt_epi32_mask(a, b); }
  static Vector keep(Mask mask, Vector x) { return _mm512_maskz_mov_epi32(mask, x); }
  static Vector swap(Vector x) {
    return _mm512_shuffle_epi32(x, static_cast<_MM_PERM_ENUM>(0b10'11'00'01));
  }
  template <int kBy>
  static Vector rotate(Vector x) {
    constexpr auto kOrder = static_cast<_MM_PERM_ENUM>(0b11'10'01'00'11'10'01'00 >> 2 * kBy & 0xFF);
    return _mm512_shuffle_epi32(x, kOrder);
  }
};

}  // namespace sparse_gemm::format
