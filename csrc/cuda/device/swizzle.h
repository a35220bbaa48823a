// Where the 16-byte chunks of B's tile stand in shared memory.
//
// A row is one column of B: 64 elements of K, 8 chunks, 128 bytes: all 32 banks once. Unswizzled,
// the 8 rows that a phase of ldmatrix reads at the same K would meet in the same four banks. With
// chunk ^ (row % 8) they lie in 8 different places, and so do the chunks of one row.
#pragma once

namespace sparse_gemm::cuda {

inline constexpr int kChunkBytes = 16;
inline constexpr int kChunkElems = 8;  // of 16 bits
inline constexpr int kChunksPerRow = 8;

// Index of the chunk, counted in chunks from the tile's begin.
constexpr int swizzled_chunk(int row, int chunk) {
  return row * kChunksPerRow + (chunk ^ (row % kChunksPerRow));
}

}  // namespace sparse_gemm::cuda
