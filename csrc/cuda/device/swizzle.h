// Where the 16-byte chunks of B's tile stand in shared memory.
//
// A row of a panel is 128 bytes of one column of B: 8 chunks, all 32 banks once. Unswizzled, the 8
// rows that a phase of ldmatrix reads at the same K would meet in the same four banks. With
// chunk ^ (row % 8) they lie in 8 different places, and so do the chunks of one row.
#pragma once

namespace sparse_gemm::cuda {

inline constexpr int kChunkBytes = 16;
inline constexpr int kChunksPerRow = 8;
inline constexpr int kRowBytes = kChunksPerRow * kChunkBytes;

// In bytes from the panel's begin.
constexpr int swizzled_offset(int row, int chunk) {
  return row * kRowBytes + (chunk ^ (row % kChunksPerRow)) * kChunkBytes;
}

}  // namespace sparse_gemm::cuda
