// load_stage: fills one stage of the ring with a slice of K. Started, not waited for.
//
// A needs no masking: packed storage is whole tiles, and rows past M are read from the last strip
// (what they give is never stored). B is zero past K, since the zeros that fill up A's rows would
// turn an inf or nan there into nan, and past N, where there is nothing to read.
#pragma once

#include <cstdint>

#include "core/plan.h"
#include "core/problem.h"
#include "cuda/device/stage_layout.h"
#include "cuda/device/tile_scheduler.h"
#include "cuda/ptx/cp_async.h"

namespace sparse_gemm::cuda {

// One slice of one strip of A after another. `kSliceBytes` are the packed bytes that a strip has
// of each slice: of its values or of its metadata.
template <CudaTile kTile, int kSliceBytes>
class StripLoader {
  static constexpr int kThreads = kTile.num_threads();
  static constexpr int kStrips = StageLayout<kTile>::kStrips;
  static constexpr int kChunksPerStrip = kSliceBytes / kChunkBytes;

 public:
  __device__ StripLoader(const void* packed, const Problem& problem, TileCoord tile, int thread)
      : thread_(thread) {
    const int64_t first_strip = tile.m * int64_t{kStrips};
    strip_bytes_ = format::num_packed_k_tiles(problem.k) * kSliceBytes;
    first_strip_ = static_cast<const char*>(packed) + first_strip * strip_bytes_;
    last_strip_ = static_cast<int>(
        min(format::num_packed_strips(problem.m) - first_strip, int64_t{kStrips}) - 1);
  }

  __device__ void load(int64_t k_tile, uint32_t smem) const {
    constexpr int kChunks = kStrips * kChunksPerStrip;
    const char* slice = first_strip_ + k_tile * kSliceBytes;
#pragma unroll
    for (int begin = 0; begin < kChunks; begin += kThreads) {
      const int chunk = begin + thread_;
      if (kChunks % kThreads != 0 && chunk >= kChunks) break;
      const int strip = min(chunk / kChunksPerStrip, last_strip_);
      ptx::cp_async_cg_16(smem + chunk * kChunkBytes,
                          slice + strip * strip_bytes_ + chunk % kChunksPerStrip * kChunkBytes,
                          kChunkBytes);
    }
  }

 private:
  int thread_;
  int last_strip_;  // of this tile
  int64_t strip_bytes_;
  const char* first_strip_;
};

// A row of B's tile in shared memory is a column of B: a token.
template <CudaTile kTile, BLoad kBLoad>
class BLoader {
  static constexpr int kThreads = kTile.num_threads();
  static constexpr int kElemBytes = 2;
  static constexpr int kWordBytes = 4;
  static constexpr int kWordElems = kWordBytes / kElemBytes;

 public:
  __device__ BLoader(const Problem& problem, TileCoord tile, int thread)
      : thread_(thread), k_(problem.k), k_stride_(problem.b.row_stride) {
    const int64_t n_begin = tile.n * int64_t{kTile.n};
    num_rows_ = static_cast<int>(min(problem.n - n_begin, int64_t{kTile.n}));
    first_row_ = static_cast<const uint16_t*>(problem.b.data) + n_begin * problem.b.col_stride;
    // The stride of a row without a next one is any number, and even a copy of no bytes needs an
    // aligned address.
    n_stride_ = num_rows_ > 1 ? problem.b.col_stride : 0;
    has_aligned_words_ = kBLoad == BLoad::kAny && k_stride_ == 1 && n_stride_ % kWordElems == 0 &&
                         reinterpret_cast<uintptr_t>(first_row_) % kWordBytes == 0;
  }

  // `smem` and `smem_address` are the same place.
  __device__ void load(int64_t k_tile, char* smem, uint32_t smem_address) const {
    if constexpr (kBLoad == BLoad::kAligned) {
      load_chunks(k_tile, smem_address);
    } else if (has_aligned_words_) {
      load_words(k_tile, smem_address);
    } else {
      load_elements(k_tile, smem);
    }
  }

 private:
  // How many of the elements of row `row` from k on, at most `count`, lie within B.
  __device__ int elems_within(int row, int64_t k, int count) const {
    return row < num_rows_ ? static_cast<int>(max(int64_t{0}, min(int64_t{count}, k_ - k))) : 0;
  }
  __device__ const uint16_t* element(int row, int64_t k) const {
    return first_row_ + row * n_stride_ + k * k_stride_;
  }

  // Lanes run along K: 8 lanes fetch the 128 bytes of one row. Where there is nothing to read, the
  // address may lie outside of B.
  __device__ void load_chunks(int64_t k_tile, uint32_t smem_address) const {
    constexpr int kRowsAtOnce = kThreads / kChunksPerRow;
    static_assert(kThreads % kChunksPerRow == 0 && kTile.n % kRowsAtOnce == 0);
    const int chunk = thread_ % kChunksPerRow;
    const int64_t k = k_tile * kTile.k + chunk * kChunkElems;
    const int elems = elems_within(0, k, kChunkElems);
#pragma unroll
    for (int begin = 0; begin < kTile.n; begin += kRowsAtOnce) {
      const int row = begin + thread_ / kChunksPerRow;
      ptx::cp_async_cg_16(smem_address + swizzled_chunk(row, chunk) * kChunkBytes,
                          first_row_ + row * n_stride_ + k,
                          static_cast<uint32_t>(row < num_rows_ ? elems * kElemBytes : 0));
    }
  }

  __device__ void load_words(int64_t k_tile, uint32_t smem_address) const {
    constexpr int kWordsPerChunk = kChunkBytes / kWordBytes;
    constexpr int kWordsPerRow = kChunksPerRow * kWordsPerChunk;
#pragma unroll 4
    for (int word = thread_; word < kTile.n * kWordsPerRow; word += kThreads) {
      const int row = word / kWordsPerRow;
      const int chunk = word % kWordsPerRow / kWordsPerChunk;
      const int64_t k = k_tile * kTile.k + word % kWordsPerRow * kWordElems;
      ptx::cp_async_ca_4(smem_address + swizzled_chunk(row, chunk) * kChunkBytes +
                             word % kWordsPerChunk * kWordBytes,
                         element(row, k),
                         static_cast<uint32_t>(elems_within(row, k, kWordElems) * kElemBytes));
    }
  }

  // Any strides: 8 elements are gathered into a chunk. Lanes run along the dimension of B that is
  // contiguous; either way, 8 neighbouring lanes write 8 different places of the swizzle. Where
  // there is nothing to read, an element that exists is read again: no lane takes a way of its own.
  __device__ void load_elements(int64_t k_tile, char* smem) const {
    const bool along_k = k_stride_ == 1;
#pragma unroll 1
    for (int idx = thread_; idx < kTile.n * kChunksPerRow; idx += kThreads) {
      const int row = along_k ? idx / kChunksPerRow : idx % kTile.n;
      const int chunk = along_k ? idx % kChunksPerRow : idx / kTile.n;
      const int64_t k = k_tile * kTile.k + chunk * kChunkElems;
      const int elems = elems_within(row, k, kChunkElems);
      const uint16_t* first = elems > 0 ? element(row, k) : first_row_;
      const int last = max(elems - 1, 0);
      uint32_t elem[kChunkElems];
#pragma unroll
      for (int i = 0; i < kChunkElems; ++i) elem[i] = first[min(i, last) * k_stride_];
#pragma unroll
      for (int i = 0; i < kChunkElems; ++i) elem[i] = i < elems ? elem[i] : 0u;
      *reinterpret_cast<uint4*>(smem + swizzled_chunk(row, chunk) * kChunkBytes) =
          make_uint4(elem[0] | elem[1] << 16, elem[2] | elem[3] << 16, elem[4] | elem[5] << 16,
                     elem[6] | elem[7] << 16);
    }
  }

  int thread_;
  int num_rows_;  // of this tile that lie within N
  bool has_aligned_words_;
  int64_t k_;
  int64_t k_stride_;
  int64_t n_stride_;
  const uint16_t* first_row_;
};

template <CudaTile kTile, BLoad kBLoad>
class StageLoader {
  using Layout = StageLayout<kTile>;

 public:
  __device__ StageLoader(const Problem& problem, TileCoord tile, int thread)
      : values_(problem.a.values, problem, tile, thread),
        metadata_(problem.a.metadata, problem, tile, thread),
        b_(problem, tile, thread) {}

  // `smem` is the stage, `smem_address` the same place in the shared window.
  __device__ void load(int64_t k_tile, char* smem, uint32_t smem_address) const {
    values_.load(k_tile, smem_address);
    metadata_.load(k_tile, smem_address + Layout::kMetadata);
    b_.load(k_tile, smem + Layout::kB, smem_address + Layout::kB);
  }

 private:
  StripLoader<kTile, format::kPackedValuesTileBytes> values_;
  StripLoader<kTile, format::kPackedMetadataTileBytes> metadata_;
  BLoader<kTile, kBLoad> b_;
};

}  // namespace sparse_gemm::cuda
