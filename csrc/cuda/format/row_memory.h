// Matrices in memory as the kernels of this room walk them: dense and canonical ones, row by row, a
// piece (packed_tile.h) at a time. Nothing is read or written outside a matrix; what is read there
// is zero.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/pattern.h"

namespace sparse_gemm::cuda {

// A number of bytes that is read or written at once: the first byte is the lowest.
template <int kBytes>
using Bits = std::conditional_t<
    kBytes == 8, uint64_t,
    std::conditional_t<kBytes == 4, uint32_t, std::conditional_t<kBytes == 2, uint16_t, uint8_t>>>;

// [rows, units] in memory of units of kUnitBytes: elements, or pairs of 4-bit ones. A piece is
// kPieceBytes of a row; `has_aligned_pieces`: each is neighbouring bytes at a multiple of its size.
template <int kUnitBytes, int kPieceBytes>
struct RowMemory {
  using Unit = Bits<kUnitBytes>;
  using Whole = Bits<kPieceBytes>;
  static constexpr int kUnits = kPieceBytes / kUnitBytes;

  const char* data;
  int64_t rows;
  int64_t units;       // in a row
  int64_t row_stride;  // in units
  int64_t col_stride;
  bool has_aligned_pieces;
  bool ends_in_half_a_unit;  // the high nibble of a row's last unit is past K

  __device__ Whole load(int64_t row, int64_t piece) const {
    const int64_t begin = piece * kUnits;
    if (row >= rows || begin >= units) return 0;
    const char* first = data + (row * row_stride + begin * col_stride) * kUnitBytes;
    Whole whole = 0;
    if (has_aligned_pieces && begin + kUnits <= units) {
      whole = *reinterpret_cast<const Whole*>(first);
    } else {
#pragma unroll
      for (int i = 0; i < kUnits; ++i) {
        if (begin + i < units) {
          const Whole unit = *reinterpret_cast<const Unit*>(first + i * col_stride * kUnitBytes);
          whole = static_cast<Whole>(whole | unit << (8 * kUnitBytes * i));
        }
      }
    }
    return within_k(begin, whole);
  }

  // Of contiguous rows. What lies beyond the matrix is dropped.
  __device__ void store(int64_t row, int64_t piece, Whole whole) const {
    const int64_t begin = piece * kUnits;
    if (row >= rows || begin >= units) return;
    whole = within_k(begin, whole);
    char* first = const_cast<char*>(data) + (row * row_stride + begin) * kUnitBytes;
    if (has_aligned_pieces && begin + kUnits <= units) {
      *reinterpret_cast<Whole*>(first) = whole;
    } else {
#pragma unroll
      for (int i = 0; i < kUnits; ++i) {
        if (begin + i < units) {
          reinterpret_cast<Unit*>(first)[i] = static_cast<Unit>(whole >> (8 * kUnitBytes * i));
        }
      }
    }
  }

 private:
  __device__ Whole within_k(int64_t begin, Whole whole) const {
    if constexpr (kUnitBytes == 1) {
      if (ends_in_half_a_unit && begin + kUnits >= units) {
        const int last = static_cast<int>(units - 1 - begin);
        return static_cast<Whole>(whole & ~(Whole{0xF} << (8 * last + 4)));
      }
    }
    return whole;
  }
};

// Canonical metadata: a byte is the nibbles of two groups.
struct MetadataRows {
  uint8_t* data;
  int64_t row_bytes;

  __device__ uint32_t nibble(int64_t row, int64_t group) const {
    const uint32_t byte = data[row * row_bytes + group / kGroupsPerMetadataByte];
    return byte >> (group % kGroupsPerMetadataByte * kMetadataBitsPerGroup) & 0xF;
  }
  __device__ void put_byte(int64_t row, int64_t group, uint32_t nibbles) const {
    data[row * row_bytes + group / kGroupsPerMetadataByte] = static_cast<uint8_t>(nibbles);
  }
};

}  // namespace sparse_gemm::cuda
