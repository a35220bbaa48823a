// How a B whose columns begin at multiples of 16 bytes reaches a stage of the ring. What columns
// past N give is never stored: where each column has threads of its own, these write zeros to the
// ring once, and copy nothing; else such columns are read from the last one. Past K, B is zero,
// since the zeros that fill up A's rows would turn an inf or nan there into nan; only the last
// stage of K asks where K ends.
//
// A thread copies the same places of every stage: all addresses are a few pointers plus constants.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/problem.h"
#include "cuda/device/stage_layout.h"
#include "cuda/device/work.h"
#include "cuda/ptx/cp_async.h"
#include "cuda/ptx/special_registers.h"

namespace sparse_gemm::cuda {

// B whose columns begin at multiples of 16 bytes. Four lanes copy 64 neighbouring bytes of a
// column, twice; of small tiles, where that would leave threads without work, eight lanes 128
// bytes, and of several panels at once.
template <CudaTile kTile, Multiply kMultiply>
class AlignedBLoader {
  using Layout = StageLayout<kTile, kMultiply>;
  static constexpr int kPanels = Layout::kPanels;
  static constexpr int kThreads = kTile.num_threads();
  static constexpr int kLanesPerRow =
      kTile.n * CudaTile::kLanesPerColumn >= kThreads ? CudaTile::kLanesPerColumn : 8;
  static constexpr int kHalves = kChunksPerRow / kLanesPerRow;
  static constexpr int kRowsAtOnce = std::min(kThreads / kLanesPerRow, kTile.n);
  static constexpr int kPointers = kTile.n / kRowsAtOnce;
  static constexpr int kThreadsPerPanel = kRowsAtOnce * kLanesPerRow;
  static constexpr int kPanelsAtOnce = std::min(kThreads / kThreadsPerPanel, kPanels);
  static constexpr int kActive = kPanelsAtOnce * kThreadsPerPanel;
  static constexpr int kHalfBytes = kRowBytes / 2;
  static constexpr bool kSkips = kTile.skips_missing_columns();
  static_assert(!kSkips || kPointers == 1);

 public:
  static constexpr int kCopies = kPointers * kPanels / kPanelsAtOnce * kHalves;

  __device__ AlignedBLoader(const Problem& problem, const Piece& piece, uint32_t smem_address,
                            int thread)
      : copies_(thread < kActive) {
    const int panel = panel_of(thread);
    const int row = row_of(thread - panel * kThreadsPerPanel);
    smem_address_[0] =
        smem_address + panel * Layout::kPanelBytes + swizzled_offset(row, thread % kLanesPerRow);
    smem_address_[1] = smem_address_[0] ^ kHalfBytes;  // chunk + 4
    const int64_t n_begin = piece.tile.n * int64_t{kTile.n};
    const int64_t offset = piece.k_begin * int64_t{Layout::kColumnBytes} + offset_of(thread);
    const char* b = static_cast<const char*>(problem.b.data) +
                    piece.batch * problem.b.batch_stride * kElemBytes + offset;
#pragma unroll
    for (int i = 0; i < kPointers; ++i) {
      const int64_t n = min(n_begin + row + i * kRowsAtOnce, problem.n - 1);
      gmem_[i] = b + n * problem.b.col_stride * kElemBytes;
    }
    if (kSkips && copies_ && n_begin + row >= problem.n) {
      copies_ = false;
      clear_column();
    }
  }

  // Copy `idx` of the stage that comes `ahead` stages after the current one, a full one, if
  // `condition` holds.
  __device__ __forceinline__ void copy(bool condition, int idx, int ahead, int stage_offset) const {
    const At at(idx, ahead);
    ptx::cp_async_cg_16_if(condition && (kAllCopy || copies_),
                           smem_address_[at.half] + stage_offset + at.smem_offset,
                           gmem_[at.pointer] + at.gmem_offset);
  }

  // The stage that comes `ahead` stages after the current one, the last one of K and not full:
  // zeros where K has ended.
  __device__ __forceinline__ void copy_ragged(const Problem& problem, int ahead,
                                              int stage_offset) const {
    if (!kAllCopy && !copies_) return;
    const int offset = offset_of(ptx::mov_u32_tid_x());
    const int k_bytes = static_cast<int>(Layout::b_bytes(problem.k) % Layout::kColumnBytes);
#pragma unroll
    for (int idx = 0; idx < kCopies; ++idx) {
      const At at(idx, 0);
      const int left = k_bytes - offset - at.gmem_offset;
      ptx::cp_async_cg_16(
          smem_address_[at.half] + stage_offset + at.smem_offset,
          gmem_[at.pointer] + int64_t{ahead} * Layout::kColumnBytes + at.gmem_offset,
          static_cast<uint32_t>(min(max(left, 0), kChunkBytes)));
    }
  }

  __device__ __forceinline__ void advance(int stages) {
#pragma unroll
    for (int i = 0; i < kPointers; ++i) gmem_[i] += stages * Layout::kColumnBytes;
  }

 private:
  static constexpr int kElemBytes = Layout::kBElemBytes;
  static constexpr bool kAllCopy = kActive == kThreads && !kSkips;

  // Zeros wherever this thread would copy to: of the first group of copies, and nobody refills it.
  __device__ __forceinline__ void clear_column() const {
#pragma unroll 1
    for (int stage = 0; stage < kTile.num_stages; ++stage) {
#pragma unroll
      for (int idx = 0; idx < kCopies; ++idx) {
        const At at(idx, 0);
        ptx::cp_async_cg_16(smem_address_[at.half] + stage * Layout::kStageBytes + at.smem_offset,
                            gmem_[0], 0);
      }
    }
  }

  // Which copy of a stage is which: constants wherever `idx` is one.
  struct At {
    static constexpr int kRounds = kPanels / kPanelsAtOnce;
    static_assert(kPanels % kPanelsAtOnce == 0);
    int half, pointer, smem_offset, gmem_offset;
    __device__ constexpr At(int idx, int ahead)
        : half(idx % kHalves),
          pointer(idx / kHalves / kRounds),
          smem_offset(idx / kHalves % kRounds * kPanelsAtOnce * Layout::kPanelBytes +
                      pointer * kRowsAtOnce * kRowBytes),
          gmem_offset(ahead * Layout::kColumnBytes +
                      idx / kHalves % kRounds * kPanelsAtOnce * kRowBytes + half * kHalfBytes) {}
  };

  // Of a thread's first copy.
  __device__ static int panel_of(int thread) {
    return kPanelsAtOnce == 1 ? 0 : thread / kThreadsPerPanel;
  }
  // In a column's stage.
  __device__ static int offset_of(int thread) {
    return panel_of(thread) * kRowBytes + thread % kLanesPerRow * kChunkBytes;
  }

  // Eight lanes write at a time. Where they belong to two rows, these lie four apart, so that the
  // swizzle puts their chunks into different halves of the banks.
  __device__ static int row_of(int thread) {
    const int row = thread / kLanesPerRow;
    if constexpr (kLanesPerRow == 8) return row;
    const int in_eight = row % 8;
    return row - in_eight + in_eight / 2 + in_eight % 2 * 4;
  }

  bool copies_;  // this thread
  uint32_t smem_address_[2];
  const char* gmem_[kPointers];
};

}  // namespace sparse_gemm::cuda
