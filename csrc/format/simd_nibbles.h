// Masks and nibbles of a block in a 128-bit register, for every x86 instruction set from SSSE3 on.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "core/macros.h"
#include "format/block_tables.h"

namespace sparse_gemm::format {

using Bytes16 = __m128i;

// A bit for each of the 128 places of a block.
struct BlockMask {
  uint64_t low;
  uint64_t high;
};

SPARSE_GEMM_INLINE Bytes16 to_bytes(BlockMask mask) {
  return _mm_set_epi64x(static_cast<int64_t>(mask.high), static_cast<int64_t>(mask.low));
}
SPARSE_GEMM_INLINE BlockMask to_mask(Bytes16 bytes) {
  return {static_cast<uint64_t>(_mm_cvtsi128_si64(bytes)),
          static_cast<uint64_t>(_mm_extract_epi64(bytes, 1))};
}

SPARSE_GEMM_INLINE Bytes16 load_bytes(const uint8_t* source) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
}
SPARSE_GEMM_INLINE void store_bytes(uint8_t* target, Bytes16 bytes) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(target), bytes);
}

SPARSE_GEMM_INLINE Bytes16 low_nibbles(Bytes16 bytes) {
  return _mm_and_si128(bytes, _mm_set1_epi8(0xF));
}
SPARSE_GEMM_INLINE Bytes16 high_nibbles(Bytes16 bytes) {
  return low_nibbles(_mm_srli_epi16(bytes, 4));
}
// low | high << 4, where both are below 16.
SPARSE_GEMM_INLINE Bytes16 join_nibbles(Bytes16 low, Bytes16 high) {
  return _mm_or_si128(low, _mm_slli_epi16(high, 4));
}
SPARSE_GEMM_INLINE Bytes16 look_up(const Nibble16& table, Bytes16 nibbles) {
  return _mm_shuffle_epi8(load_bytes(table.data()), nibbles);
}

// The masks of the places that metadata names.
SPARSE_GEMM_INLINE Bytes16 kept_masks(Bytes16 metadata) {
  return join_nibbles(look_up(kMaskOfNibble, low_nibbles(metadata)),
                      look_up(kMaskOfNibble, high_nibbles(metadata)));
}

// Metadata for masks of non-zeros. `seen` gathers kTooMany where a group has too many; then the
// metadata means nothing.
struct Metadata {
  Bytes16 bytes;
  Bytes16 seen;
};
SPARSE_GEMM_INLINE Metadata metadata_of_fours(BlockMask nonzero) {
  const Bytes16 masks = to_bytes(nonzero);
  const Bytes16 low = look_up(kNibbleOfMask, low_nibbles(masks));
  const Bytes16 high = look_up(kNibbleOfMask, high_nibbles(masks));
  return {join_nibbles(low, high), _mm_or_si128(low, high)};
}
// The same for groups of two places, whose masks are `nonzero.low` alone.
SPARSE_GEMM_INLINE Metadata metadata_of_pairs(BlockMask nonzero) {
  const Bytes16 masks = to_bytes(nonzero);
  const Bytes16 four_places = _mm_unpacklo_epi8(low_nibbles(masks), high_nibbles(masks));
  return {look_up(kMetadataOfTwoPairs, four_places), look_up(kTooManyOfTwoPairs, four_places)};
}

// Whether a bit of `bits` is set in one of the bytes.
SPARSE_GEMM_INLINE bool has_any(Bytes16 bytes, uint8_t bits) {
  const Bytes16 wanted = _mm_and_si128(bytes, _mm_set1_epi8(static_cast<char>(bits)));
  return _mm_movemask_epi8(_mm_cmpeq_epi8(wanted, _mm_setzero_si128())) != 0xFFFF;
}

}  // namespace sparse_gemm::format
