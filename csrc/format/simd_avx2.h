// Vectors of places for AVX2. Lanes are moved together and apart by byte shuffles and permutations,
// which tables give for the masks of two groups. What a traits type must give is said in
// block_kernel.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/macros.h"
#include "format/block_tables.h"

namespace sparse_gemm::format {

struct Avx2Base {
  using Vector = __m256i;
  using Mask = __m256i;  // all ones in the lanes that are set
  static constexpr int kVectorBytes = 32;

  static Vector load(const std::byte* source) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
  }
  static void store(std::byte* target, Vector vector) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), vector);
  }
  static Vector bit_and(Vector a, Vector b) { return _mm256_and_si256(a, b); }
  static Vector keep(Mask mask, Vector x) { return _mm256_and_si256(mask, x); }

 protected:
  static __m128i load_half(const std::byte* source) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
  }
  static void store_half(std::byte* target, __m128i half) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target), half);
  }
  // `kBytes` of a table's row, from the lowest byte on.
  template <int kBytes>
  static __m128i load_row(const void* row) {
    if constexpr (kBytes == 16) return _mm_loadu_si128(static_cast<const __m128i*>(row));
    if constexpr (kBytes == 8) return _mm_loadl_epi64(static_cast<const __m128i*>(row));
    int32_t bits;
    std::memcpy(&bits, row, sizeof(bits));
    return _mm_cvtsi32_si128(bits);
  }
  // Byte `index` of a mask: two groups.
  static uint8_t groups(uint64_t mask, int index) {
    return static_cast<uint8_t>(mask >> 8 * index);
  }
  static __m128i low(Vector x) { return _mm256_castsi256_si128(x); }
  static __m128i high(Vector x) { return _mm256_extracti128_si256(x, 1); }
  // Shuffles the bytes within each 16 so that a multiple of kLaneBytes moves down by kBy lanes of
  // four.
  template <int kLaneBytes, int kBy>
  static Vector rotate_bytes(Vector x) {
    constexpr auto from = [](int byte) {
      constexpr int kGroupBytes = 4 * kLaneBytes;
      const int group = byte / kGroupBytes * kGroupBytes;
      return static_cast<char>(group + (byte - group + kBy * kLaneBytes) % kGroupBytes);
    };
    const __m128i order =
        _mm_setr_epi8(from(0), from(1), from(2), from(3), from(4), from(5), from(6), from(7),
                      from(8), from(9), from(10), from(11), from(12), from(13), from(14), from(15));
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(order));
  }
};

template <typename Lane>
struct Avx2;

template <>
struct Avx2<uint8_t> : Avx2Base {
  static Vector broadcast(uint8_t x) { return _mm256_set1_epi8(static_cast<char>(x)); }
  static uint32_t nonzero(Vector x, Vector bits) {
    const Vector is_zero = _mm256_cmpeq_epi8(_mm256_and_si256(x, bits), _mm256_setzero_si256());
    return ~static_cast<uint32_t>(_mm256_movemask_epi8(is_zero));
  }
  static void compact(Vector x, uint64_t kept, std::byte* values) {
    const __m128i first = compact_half(low(x), groups(kept, 0), groups(kept, 1));
    const __m128i second = compact_half(high(x), groups(kept, 2), groups(kept, 3));
    store_half(values, _mm_unpacklo_epi64(first, second));
  }
  static Vector expand(const std::byte* values, uint64_t kept) {
    const __m128i first = expand_half(values, groups(kept, 0), groups(kept, 1));
    const __m128i second = expand_half(values + 8, groups(kept, 2), groups(kept, 3));
    return _mm256_set_m128i(second, first);
  }
  static Vector min(Vector a, Vector b) { return _mm256_min_epu8(a, b); }
  static Vector abs(Vector a) { return _mm256_abs_epi8(a); }
  static Vector subtract(Vector a, Vector b) { return _mm256_sub_epi8(a, b); }
  static Mask greater(Vector a, Vector b) { return _mm256_cmpgt_epi8(a, b); }
  template <int kBy>
  static Vector rotate(Vector x) {
    return rotate_bytes<1, kBy>(x);
  }

 private:
  // Sixteen lanes: those of two masks.
  static __m128i compact_half(__m128i x, uint8_t first, uint8_t second) {
    const __m128i order = _mm_unpacklo_epi32(
        load_row<4>(kPlacesOfMask[first].data()),
        _mm_add_epi8(load_row<4>(kPlacesOfMask[second].data()), _mm_set1_epi8(8)));
    return _mm_shuffle_epi8(x, order);
  }
  static __m128i expand_half(const std::byte* values, uint8_t first, uint8_t second) {
    const __m128i order = _mm_unpacklo_epi64(
        load_row<8>(kSlotsOfMask[first].data()),
        _mm_add_epi8(load_row<8>(kSlotsOfMask[second].data()), _mm_set1_epi8(4)));
    return _mm_shuffle_epi8(load_row<8>(values), order);
  }
};

template <>
struct Avx2<uint16_t> : Avx2Base {
  static Vector broadcast(uint16_t x) { return _mm256_set1_epi16(static_cast<int16_t>(x)); }
  static uint32_t nonzero(Vector x, Vector bits) {
    const Vector is_zero = _mm256_cmpeq_epi16(_mm256_and_si256(x, bits), _mm256_setzero_si256());
    const auto mask =
        static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low(is_zero), high(is_zero))));
    return mask ^ 0xFFFF;
  }
  static void compact(Vector x, uint64_t kept, std::byte* values) {
    const __m128i first =
        _mm_shuffle_epi8(low(x), load_row<8>(kPlacePairsOfMask[groups(kept, 0)].data()));
    const __m128i second =
        _mm_shuffle_epi8(high(x), load_row<8>(kPlacePairsOfMask[groups(kept, 1)].data()));
    store_half(values, _mm_unpacklo_epi64(first, second));
  }
  static Vector expand(const std::byte* values, uint64_t kept) {
    const __m128i first = load_row<16>(kSlotPairsOfMask[groups(kept, 0)].data());
    const __m128i second = load_row<16>(kSlotPairsOfMask[groups(kept, 1)].data());
    return _mm256_set_m128i(_mm_shuffle_epi8(load_row<8>(values + 8), second),
                            _mm_shuffle_epi8(load_row<8>(values), first));
  }
  static Vector min(Vector a, Vector b) { return _mm256_min_epu16(a, b); }
  static Vector subtract(Vector a, Vector b) { return _mm256_sub_epi16(a, b); }
  static Mask greater(Vector a, Vector b) { return _mm256_cmpgt_epi16(a, b); }
  template <int kBy>
  static Vector rotate(Vector x) {
    return rotate_bytes<2, kBy>(x);
  }
};

template <>
struct Avx2<uint32_t> : Avx2Base {
  static Vector broadcast(uint32_t x) { return _mm256_set1_epi32(static_cast<int32_t>(x)); }
  static uint32_t nonzero(Vector x, Vector bits) {
    const Vector is_zero = _mm256_cmpeq_epi32(_mm256_and_si256(x, bits), _mm256_setzero_si256());
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(is_zero))) ^ 0xFF;
  }
  static void compact(Vector x, uint64_t kept, std::byte* values) {
    const __m128i places = load_row<4>(kPlacesOfMask[groups(kept, 0)].data());
    const Vector order = _mm256_castsi128_si256(_mm_cvtepu8_epi32(places));
    store_half(values, low(_mm256_permutevar8x32_epi32(x, order)));
  }
  // A permutation takes the low three bits of a slot; kNoSlot is the sign bit of a byte.
  static Vector expand(const std::byte* values, uint64_t kept) {
    const Vector slots = _mm256_cvtepi8_epi32(load_row<8>(kSlotsOfMask[groups(kept, 0)].data()));
    const Vector moved =
        _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(load_half(values)), slots);
    return _mm256_andnot_si256(_mm256_srai_epi32(slots, 31), moved);
  }
  static Vector min(Vector a, Vector b) { return _mm256_min_epu32(a, b); }
  static Vector subtract(Vector a, Vector b) { return _mm256_sub_epi32(a, b); }
  static Mask greater(Vector a, Vector b) { return _mm256_cmpgt_epi32(a, b); }
  static Vector swap(Vector x) { return _mm256_shuffle_epi32(x, 0b10'11'00'01); }
  template <int kBy>
  static Vector rotate(Vector x) {
    return _mm256_shuffle_epi32(x, 0b11'10'01'00'11'10'01'00 >> 2 * kBy & 0xFF);
  }
};

}  // namespace sparse_gemm::format
