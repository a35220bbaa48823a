// How A reaches a stage of the ring. It needs no mask: packed storage is whole stages, and rows
// past M are read from the last strip (what they give is never stored).
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
  int64_t num_stages;  // of a strip
  int64_t stage;

  __device__ StripRange(const Problem& problem, const WorkShape& work, const Piece& piece,
                        int tile_strips)
      : num_stages(work.num_k_tiles), stage(piece.k_begin) {
    const int64_t num_strips = format::num_packed_strips(problem.m);
    const int64_t begin = piece.tile.m * int64_t{tile_strips};
    first = begin + (problem.a.is_batched ? piece.batch * num_strips : 0);
    last = static_cast<int>(min(num_strips - begin, int64_t{tile_strips}) - 1);
  }

  // Index among all stages of all strips.
  __device__ int64_t stage_of(int strip) const {
    return (first + min(strip, last)) * num_stages + stage;
  }
};

// Values or metadata: of each strip `kStripBytes` a stage, one stage after another. The threads
// that copy from one strip are neighbours.
template <CudaTile kTile, int kStripBytes>
class StripLoader {
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
    gmem_ = static_cast<const char*>(packed) + strips.stage_of(strip) * kStripBytes + offset;
  }

  // Copy `idx` of the stage that comes `ahead` stages after the current one, if `condition` holds.
  __device__ __forceinline__ void copy(bool condition, int idx, int ahead, int stage_offset) const {
    const int offset = idx * kThreadsPerStrip * kChunkBytes;
    ptx::cp_async_cg_16_if(condition && (kActive == kTile.num_threads() || is_active_),
                           smem_address_ + stage_offset + offset,
                           gmem_ + int64_t{ahead} * kStripBytes + offset);
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
    smem_address_ = smem_address + offset;
    gmem_ = static_cast<const char*>(a.group_scales) + strips.stage_of(strip) * strip_bytes_ +
            (offset - strip * strip_bytes_);
  }

  __device__ __forceinline__ void copy(bool condition, int, int ahead, int stage_offset) const {
    ptx::cp_async_cg_16_if(condition && is_active_, smem_address_ + stage_offset,
                           gmem_ + int64_t{ahead} * strip_bytes_);
  }

  __device__ __forceinline__ void advance(int stages) { gmem_ += stages * strip_bytes_; }

 private:
  __device__ static int strip_bytes(int group_size) {
    constexpr MultiplyTraits kTraits = traits_of(kMultiply);
    return stage_strip_scale_bytes(kTraits, group_size);
  }

  int strip_bytes_;  // of a stage
  bool is_active_;
  uint32_t smem_address_;
  const char* gmem_;
};

// Of types without any.
struct NoScalesLoader {
  static constexpr int kCopies = 0;
  __device__ NoScalesLoader(const SparseOperand&, const StripRange&, uint32_t, int) {}
  __device__ void copy(bool, int, int, int) const {}
  __device__ void advance(int) {}
};

}  // namespace sparse_gemm::cuda
