// How A reaches a stage of the ring. It needs no mask: packed storage is whole slices, and rows
// past M are read from the last strip (what they give is never stored). Only where warps share K
// (CudaTile::warps_k) a last stage may have fewer slices than others.
//
// A thread copies the same places of every stage: all addresses are one pointer plus constants.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/problem.h"
#include "cuda/device/stage_layout.h"
#include "cuda/device/work.h"
#include "cuda/ptx/cp_async.h"

namespace sparse_gemm::cuda {

// The strips of a tile, and where a piece of work begins in them.
struct StripRange {
  int64_t first;       // counted through the whole batch
  int last;            // that exists, counted from the first
  int64_t num_slices;  // of a strip
  int64_t slice;

  // Of tiles whose stages are `stage_slices` slices each; `num_slices` make K.
  __device__ StripRange(const Problem& problem, const Piece& piece, int tile_strips,
                        int64_t num_slices, int stage_slices)
      : num_slices(num_slices), slice(piece.k_begin * int64_t{stage_slices}) {
    const int64_t num_strips = format::num_packed_strips(problem.m);
    const int64_t begin = piece.tile.m * int64_t{tile_strips};
    first = begin + (problem.a.is_batched ? piece.batch * num_strips : 0);
    last = static_cast<int>(min(num_strips - begin, int64_t{tile_strips}) - 1);
  }

  // Index among all slices of all strips.
  __device__ int64_t slice_of(int strip) const {
    return (first + min(strip, last)) * num_slices + slice;
  }
};

// What a slice of K that does not exist holds in a stage. Values and scales are zeros; metadata, as
// not all nibbles are legal, that of a slice that does exist.
enum class Missing { kZeros, kAnother };

// Values or metadata: of each strip `kSliceBytes` a slice, one slice after another. The threads
// that copy from one strip are neighbours.
template <CudaTile kTile, int kSliceBytes, Missing kMissing>
class StripLoader {
  static constexpr int kStripBytes = kTile.warps_k * kSliceBytes;  // of a stage
  static constexpr int kStrips = kTile.m / format::kPackedTileRows;
  static constexpr int kChunks = kStripBytes / kChunkBytes;
  static constexpr int kThreadsPerStrip = std::min(kTile.num_threads() / kStrips, kChunks);
  static constexpr int kActive = kStrips * kThreadsPerStrip;
  static_assert(kChunks % kThreadsPerStrip == 0 && kThreadsPerStrip % 8 == 0,
                "8 lanes copy 128 bytes in a row: no bank conflict");

 public:
  static constexpr int kCopies = kChunks / kThreadsPerStrip;  // a thread and stage

  __device__ StripLoader(const void* packed, const StripRange& strips, uint32_t smem_address,
                         int thread)
      : is_active_(thread < kActive) {
    const int strip = thread / kThreadsPerStrip;
    const int offset = thread % kThreadsPerStrip * kChunkBytes;
    smem_address_ = smem_address + strip * kStripBytes + offset;
    gmem_ = static_cast<const char*>(packed) + strips.slice_of(strip) * kSliceBytes + offset;
  }

  // Copy `idx` of the stage that comes `ahead` stages after the current one, if `condition` holds.
  __device__ __forceinline__ void copy(bool condition, int idx, int ahead, int stage_offset) const {
    const int offset = idx * kThreadsPerStrip * kChunkBytes;
    ptx::cp_async_cg_16_if(condition && (kActive == kTile.num_threads() || is_active_),
                           smem_address_ + stage_offset + offset,
                           gmem_ + int64_t{ahead} * kStripBytes + offset);
  }

  // All of the stage that comes `ahead` stages after the current one and has `slices` slices.
  __device__ __forceinline__ void copy_ragged(int slices, int thread, int ahead,
                                              int stage_offset) const {
    if (kActive < kTile.num_threads() && !is_active_) return;
    const int begin = thread % kThreadsPerStrip * kChunkBytes;
#pragma unroll
    for (int idx = 0; idx < kCopies; ++idx) {
      const int offset = idx * kThreadsPerStrip * kChunkBytes;
      const int slice = (begin + offset) / kSliceBytes;
      const bool exists = slice < slices;
      ptx::cp_async_cg_16(
          smem_address_ + stage_offset + offset,
          gmem_ + int64_t{ahead} * kStripBytes + offset - (exists ? 0 : slice * kSliceBytes),
          exists || kMissing == Missing::kAnother ? kChunkBytes : 0);
    }
  }

  __device__ __forceinline__ void advance(int stages) { gmem_ += stages * kStripBytes; }

 private:
  bool is_active_;
  uint32_t smem_address_;
  const char* gmem_;
};

// Group scales: how many a strip has of a stage is known at run time. Strips lie one after another,
// so that 8 lanes copy 128 bytes in a row.
template <CudaTile kTile, Multiply kMultiply>
class ScalesLoader {
  using Layout = StageLayout<kTile, kMultiply>;
  static_assert(Layout::kStrips * Layout::kStripScalesBytes <= kTile.num_threads() * kChunkBytes);

 public:
  static constexpr int kCopies = 1;

  __device__ ScalesLoader(const SparseOperand& a, const StripRange& strips, uint32_t smem_address,
                          int thread)
      : strip_bytes_(strip_bytes(a.group_size)) {
    const int offset = thread * kChunkBytes;
    is_active_ = offset < Layout::kStrips * strip_bytes_;
    const int strip = is_active_ ? offset / strip_bytes_ : 0;
    in_strip_ = offset - strip * strip_bytes_;
    smem_address_ = smem_address + offset;
    gmem_ = static_cast<const char*>(a.group_scales) +
            strips.slice_of(strip) * (strip_bytes_ / kTile.warps_k) + in_strip_;
  }

  __device__ __forceinline__ void copy(bool condition, int, int ahead, int stage_offset) const {
    ptx::cp_async_cg_16_if(condition && is_active_, smem_address_ + stage_offset,
                           gmem_ + int64_t{ahead} * strip_bytes_);
  }

  __device__ __forceinline__ void copy_ragged(int slices, int, int ahead, int stage_offset) const {
    const bool exists = in_strip_ * kTile.warps_k < slices * strip_bytes_;
    if (!is_active_) return;
    ptx::cp_async_cg_16(smem_address_ + stage_offset,
                        gmem_ + int64_t{ahead} * strip_bytes_ - (exists ? 0 : in_strip_),
                        exists ? kChunkBytes : 0);
  }

  __device__ __forceinline__ void advance(int stages) { gmem_ += stages * strip_bytes_; }

 private:
  __device__ static int strip_bytes(int group_size) {
    constexpr MultiplyTraits kTraits = traits_of(kMultiply);
    return kTile.warps_k * stage_strip_scale_bytes(kTraits, group_size);
  }

  int strip_bytes_;  // of a stage
  int in_strip_;     // where the thread's copy lies in its strip
  bool is_active_;
  uint32_t smem_address_;
  const char* gmem_;
};

// Of types without any.
struct NoScalesLoader {
  static constexpr int kCopies = 0;
  __device__ NoScalesLoader(const SparseOperand&, const StripRange&, uint32_t, int) {}
  __device__ void copy(bool, int, int, int) const {}
  __device__ void copy_ragged(int, int, int, int) const {}
  __device__ void advance(int) {}
};

}  // namespace sparse_gemm::cuda
