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
#include "cuda/ptx/special_registers.h"

namespace sparse_gemm::cuda {

// Loads the stages of a piece of work one after another: `advance` makes the next one current.
template <CudaTile kTile, Multiply kMultiply, BLoad kBLoad>
class StageLoader {
  using Layout = StageLayout<kTile, kMultiply>;
  using Values = StripLoader<kTile, Layout::kSliceValuesBytes, Missing::kZeros>;
  using Metadata = StripLoader<kTile, Layout::kSliceMetadataBytes, Missing::kAnother>;
  using Scales = std::conditional_t<Layout::kTraits.weight_only, ScalesLoader<kTile, kMultiply>,
                                    NoScalesLoader>;
  static constexpr bool kIsAligned = kBLoad == BLoad::kAligned;
  using B = std::conditional_t<kIsAligned, AlignedBLoader<kTile, kMultiply>,
                               AnyBLoader<kTile, kMultiply>>;
  static_assert(kIsAligned || kTile.warps_k == 1, "other ways know no ragged stage");

 public:
  // Copies of a thread in a stage, as `copy` counts them.
  static constexpr int kCopies = B::kCopies + Values::kCopies + Metadata::kCopies + Scales::kCopies;

  __device__ StageLoader(const GemmParams& params, const Piece& piece, char* smem, int thread)
      : StageLoader(
            params, piece,
            StripRange(params.problem, piece, Layout::kStrips, num_slices(params), Layout::kSlices),
            smem, ptx::shared_address(smem), thread) {}

  // How many stages are left to load but a last, ragged one: one that K does not fill, where the
  // way that B is loaded makes a difference of it.
  __device__ int num_full() const { return num_full_; }

  // If `condition` holds, copy `idx`, a constant, of the full stage that comes `ahead` stages after
  // the current one, to the stage at `stage_offset` of the ring. For B::kCopies > 0 alone.
  __device__ __forceinline__ void copy(bool condition, int idx, int ahead, int stage_offset) const {
    if (idx < B::kCopies) {
      b_.copy(condition, idx, ahead, stage_offset);
    } else {
      copy_a(condition, idx - B::kCopies, ahead, stage_offset);
    }
  }

  // The current stage, which is a full one.
  __device__ __forceinline__ void load(int stage_offset) const {
    load_a(0, stage_offset);
    if constexpr (kIsAligned) {
      static_for<B::kCopies>([&](auto idx) { b_.copy(true, idx, 0, stage_offset); });
    } else {
      b_.load(smem_ + stage_offset + Layout::kB, smem_address_ + stage_offset + Layout::kB);
    }
  }

  // The ragged stage, which comes after all full ones. Before any other.
  __device__ __forceinline__ void load_ragged(int stage_offset) const {
    if constexpr (kIsAligned) {
      load_ragged_a(stage_offset);
      b_.copy_ragged(problem_, num_full_, stage_offset);
    }
  }

  // Zeros, for a product over nothing: without a way around the main loop, accumulators take
  // registers from there on only.
  __device__ __forceinline__ void clear(int stage_offset) const {
    constexpr uint32_t kAnyLegalNibbles = 0x44444444;
    uint32_t* words = reinterpret_cast<uint32_t*>(smem_ + stage_offset);
#pragma unroll 1
    for (int i = ptx::mov_u32_tid_x(); i < Layout::kStageBytes / 4; i += kTile.num_threads()) {
      const bool is_metadata = i >= Layout::kMetadata / 4 && i < Layout::kScales / 4;
      words[i] = is_metadata ? kAnyLegalNibbles : 0;
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
        num_full_(count_full(params.problem, piece)),
        values_(params.problem.a.values, strips, smem_address + Layout::kValues, thread),
        metadata_(params.problem.a.metadata, strips, smem_address + Layout::kMetadata, thread),
        scales_(params.problem.a, strips, smem_address + Layout::kScales, thread),
        b_(params.problem, piece, smem_address + Layout::kB, thread) {}

  __device__ static int count_full(const Problem& problem, const Piece& piece) {
    const int64_t k_end = piece.k_end;
    const int64_t full_end =
        kIsAligned ? min(Layout::b_bytes(problem.k) / Layout::kColumnBytes, k_end) : k_end;
    return static_cast<int>(full_end - piece.k_begin);
  }

  // Of K.
  __device__ static int64_t num_slices(const GemmParams& params) {
    return Layout::kSlices == 1 ? params.work.num_k_tiles
                                : ceil_div(params.problem.k, int64_t{Layout::kTraits.stage_k});
  }

  __device__ __forceinline__ void load_ragged_a(int stage_offset) const {
    if constexpr (Layout::kSlices == 1) {
      load_a(num_full_, stage_offset);
    } else {
      const int64_t all = ceil_div(problem_.k, int64_t{Layout::kTraits.stage_k});
      const int slices = static_cast<int>((all - 1) % Layout::kSlices) + 1;
      const int thread = ptx::mov_u32_tid_x();
      values_.copy_ragged(slices, thread, num_full_, stage_offset);
      metadata_.copy_ragged(slices, thread, num_full_, stage_offset);
      scales_.copy_ragged(slices, thread, num_full_, stage_offset);
    }
  }

  __device__ __forceinline__ void load_a(int ahead, int stage_offset) const {
    static_for<Values::kCopies + Metadata::kCopies + Scales::kCopies>(
        [&](auto idx) { copy_a(true, idx, ahead, stage_offset); });
  }

  __device__ __forceinline__ void copy_a(bool condition, int idx, int ahead,
                                         int stage_offset) const {
    if (idx < Values::kCopies) {
      values_.copy(condition, idx, ahead, stage_offset);
    } else if (idx < Values::kCopies + Metadata::kCopies) {
      metadata_.copy(condition, idx - Values::kCopies, ahead, stage_offset);
    } else {
      scales_.copy(condition, 0, ahead, stage_offset);
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
