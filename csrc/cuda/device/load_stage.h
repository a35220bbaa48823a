// StageLoader: fills stages of the ring with slices of K of all operands. Started, not waited for.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/device/load_a.h"
#include "cuda/device/load_any.h"
#include "cuda/device/load_b.h"
#include "cuda/device/params.h"
#include "cuda/device/stage_layout.h"
#include "cuda/device/static_for.h"
#include "cuda/device/work.h"
#include "cuda/ptx/shared_address.h"

namespace sparse_gemm::cuda {

// Loads the stages of a piece of work one after another: `advance` makes the next one current.
template <CudaTile kTile, Multiply kMultiply, BLoad kBLoad>
class StageLoader {
  using Layout = StageLayout<kTile, kMultiply>;
  using Values = StripLoader<kTile, Layout::kStripValuesBytes>;
  using Metadata = StripLoader<kTile, Layout::kStripMetadataBytes>;
  using Scales = std::conditional_t<Layout::kTraits.weight_only, ScalesLoader<kTile, kMultiply>,
                                    NoScalesLoader>;
  static constexpr bool kIsAligned = kBLoad == BLoad::kAligned;
  using B = std::conditional_t<kIsAligned, AlignedBLoader<kTile, kMultiply>,
                               AnyBLoader<kTile, kMultiply>>;

 public:
  // Copies of a thread in a stage, as `copy` counts them.
  static constexpr int kCopies = B::kCopies + Values::kCopies + Metadata::kCopies + Scales::kCopies;

  __device__ StageLoader(const GemmParams& params, const Piece& piece, char* smem, int thread)
      : StageLoader(params, piece, StripRange(params.problem, params.work, piece, Layout::kStrips),
                    smem, ptx::shared_address(smem), thread) {}

  // How many stages of B, from the current one on, lie within K as a whole. No other work is left
  // where it is 0 or less but a last, ragged stage.
  __device__ int num_full() const { return num_full_; }

  // Copy `idx`, a constant, of the full stage that comes `ahead` stages after the current one, to
  // the stage at `stage_offset` of the ring. For B::kCopies > 0 alone.
  __device__ __forceinline__ void copy(int idx, int ahead, int stage_offset) const {
    if (idx < B::kCopies) {
      b_.copy(idx, ahead, stage_offset);
    } else {
      copy_a(idx - B::kCopies, ahead, stage_offset);
    }
  }

  // The current stage, whatever it is.
  __device__ __forceinline__ void load(int stage_offset) const {
    static_for<Values::kCopies + Metadata::kCopies + Scales::kCopies>(
        [&](auto idx) { copy_a(idx, 0, stage_offset); });
    if constexpr (!kIsAligned) {
      b_.load(smem_ + stage_offset + Layout::kB, smem_address_ + stage_offset + Layout::kB);
    } else if (num_full_ > 0) {
      static_for<B::kCopies>([&](auto idx) { b_.copy(idx, 0, stage_offset); });
    } else {
      const int bytes = B::ragged_bytes(problem_);
      static_for<B::kCopies>([&](auto idx) { b_.copy_ragged(idx, stage_offset, bytes); });
    }
  }

  __device__ __forceinline__ void advance(int stages) {
    num_full_ -= stages;
    values_.advance(stages);
    metadata_.advance(stages);
    scales_.advance(stages);
    b_.advance(stages);
  }

 private:
  __device__ StageLoader(const GemmParams& params, const Piece& piece, const StripRange& strips,
                         char* smem, uint32_t smem_address, int thread)
      : problem_(params.problem),
        smem_(smem),
        smem_address_(smem_address),
        num_full_(static_cast<int>(
            min(Layout::b_bytes(params.problem.k) / Layout::kColumnBytes, int64_t{piece.k_end}) -
            piece.k_begin)),
        values_(params.problem.a.values, strips, smem_address + Layout::kValues, thread),
        metadata_(params.problem.a.metadata, strips, smem_address + Layout::kMetadata, thread),
        scales_(params.problem.a, strips, smem_address + Layout::kScales, thread),
        b_(params.problem, piece, smem_address + Layout::kB, thread) {}

  __device__ __forceinline__ void copy_a(int idx, int ahead, int stage_offset) const {
    if (idx < Values::kCopies) {
      values_.copy(idx, ahead, stage_offset);
    } else if (idx < Values::kCopies + Metadata::kCopies) {
      metadata_.copy(idx - Values::kCopies, ahead, stage_offset);
    } else {
      scales_.copy(0, ahead, stage_offset);
    }
  }

  const Problem& problem_;
  char* smem_;
  uint32_t smem_address_;
  int num_full_;
  Values values_;
  Metadata metadata_;
  Scales scales_;
  B b_;
};

}  // namespace sparse_gemm::cuda
