// Where a byte of metadata, two groups, finds its activations in a block: looked up.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/kernel.h"

namespace sparse_gemm::cpu {

// kCount offsets, in bytes, counted from the first of the two groups. As one load of 64 bits or
// less: every load takes its turn with the loads of activations.
template <int kCount>
struct ByteOffsets {
  uint16_t of[256][kCount];

  struct Found {
    uint64_t bits = 0;
    template <int I>
    SPARSE_GEMM_INLINE int64_t at() const {
      return static_cast<uint16_t>(bits >> (16 * I));
    }
  };
  SPARSE_GEMM_INLINE Found find(uint8_t metadata) const {
    Found found;
    std::memcpy(&found.bits, of[metadata], sizeof(of[metadata]));
    return found;
  }
};

// Of each kept value: the stream of its position.
SPARSE_GEMM_INLINE ByteOffsets<4> offsets_of_positions(int64_t stream_bytes) {
  ByteOffsets<4> offsets;
  for (unsigned byte = 0; byte < 256; ++byte) {
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned stream = i / 2 * kGroupSize + (byte >> (2 * i) & 3);
      offsets.of[byte][i] = static_cast<uint16_t>(stream * stream_bytes);
    }
  }
  return offsets;
}

}  // namespace sparse_gemm::cpu
