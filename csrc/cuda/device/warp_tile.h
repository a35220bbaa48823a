// A warp's share of the tile: fragments from shared memory, mma.sp, accumulators. Warps that share
// a part of the tile (CudaTile::warps_k) each have a slice of K in every stage.
//
// The mmas of a stage are cut into units: one step along K by 8 columns of B by all of the warp's
// strips. What a unit reads is loaded from shared memory kAhead units before it is multiplied, also
// across the border of two stages: the last kAhead units of a stage are multiplied while the first
// ones of the next stage are loaded, and then nobody reads the stage any more.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/device/fragments.h"
#include "cuda/device/multiply_accumulate.h"
#include "cuda/device/stage_layout.h"
#include "cuda/device/static_for.h"
#include "cuda/ptx/ldmatrix.h"

namespace sparse_gemm::cuda {

inline constexpr int kMmaM = 16;
inline constexpr int kMmaN = 8;

// Group scales as the warps read them.
struct GroupScaleFormat {
  int slice_bytes;  // that a strip has of a slice; 0: there are none
  bool need_cast;   // to B's type
};

template <CudaTile tile, Multiply multiply>
class WarpTile {
 public:
  static constexpr CudaTile kTile = tile;
  static constexpr Multiply kMultiply = multiply;
  static_assert(kTile.warp_m() % kMmaM == 0 && kTile.warp_n() % kMmaN == 0);
  static constexpr int kMmasM = kTile.warp_m() / kMmaM;
  static constexpr int kMmasN = kTile.warp_n() / kMmaN;
  static constexpr int kUnits = AFragments<kMultiply>::kSteps * kMmasN;  // of a stage
  // Four mmas take as long as a load from shared memory; more would only take registers.
  static constexpr int kAhead = std::min(std::max(4 / kMmasM, 1), kMmasN);

  int m_begin;  // in the CTA's tile
  int n_begin;
  int slice;  // of K
  int lane;
  Accumulator<kMultiply> accumulator[kMmasM][kMmasN];

  __device__ WarpTile(uint32_t smem_address, GroupScaleFormat scales, int thread)
      : smem_address_(smem_address), scales_(scales) {
    place(thread);
    const int row = n_begin + lane % kMmaN;
    const int chunk = A::template b_chunk<0>(lane / kMmaN % A::kBMatrices);
    constexpr int kSliceBytes = Layout::kTraits.b_panels * Layout::kPanelBytes;
    b_address_ = smem_address + Layout::kB + slice * kSliceBytes + swizzled_offset(row, chunk);
  }

  // Where the thread's share of the tile lies: said once more after the main loop, it takes no
  // registers in it.
  __device__ __forceinline__ void place(int thread) {
    constexpr int kWarpsOfSlice = kTile.warps_m * kTile.warps_n;
    const int warp_of_cta = thread / CudaTile::kLanesPerWarp;
    slice = kTile.warps_k == 1 ? 0 : warp_of_cta / kWarpsOfSlice;
    const int warp = warp_of_cta - slice * kWarpsOfSlice;
    m_begin = warp / kTile.warps_n * kTile.warp_m();
    n_begin = warp % kTile.warps_n * kTile.warp_n();
    lane = thread % CudaTile::kLanesPerWarp;
  }

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < kMmasM; ++i) {
#pragma unroll
      for (int j = 0; j < kMmasN; ++j) {
#pragma unroll
        for (auto& word : accumulator[i][j]) word = 0;
      }
    }
  }

  // Loads what the first units read. `stage` is the stage's offset in the ring.
  __device__ void load_first(int stage) {
    static_for<kAhead>([&](auto unit) { load<unit>(stage); });
  }

  // The products of a stage come in two parts. In the first, before(unit) is called ahead of what
  // each unit does; after it, nothing of the stage is left to be read.
  template <typename Before>
  __device__ void multiply_begin(int stage, Before before) {
    static_for<kUnits - kAhead>([&](auto unit) {
      before(unit);
      constexpr int kNextStep = (unit + kAAhead) / kMmasN;
      if constexpr (kNextStep > 0 && (unit + kAAhead) % kMmasN == 0) load_a<kNextStep>(stage);
      load<unit + kAhead>(stage);
      multiply_unit<unit>();
    });
  }

  // The second part, while what the first units of another stage read is loaded.
  __device__ void multiply_end(int next_stage) {
    static_for<kAhead>([&](auto unit) {
      load<unit>(next_stage);
      multiply_unit<unit + kUnits - kAhead>();
    });
  }

  // The second part of the last stage.
  __device__ void multiply_end() {
    static_for<kAhead>([&](auto unit) { multiply_unit<unit + kUnits - kAhead>(); });
  }

 private:
  using A = AFragments<kMultiply>;
  using Layout = StageLayout<kTile, kMultiply>;
  static constexpr int kBSlots = 2 * kAhead;
  static_assert(kUnits % kBSlots == 0, "a stage begins with slot 0");
  // A of the next step of a stage is loaded where the step begins: how far it can be loaded before
  // the compiler finds out. But all of it before multiply_end.
  static constexpr int kAAhead = kMmasN > kAhead ? 0 : kAhead;
  static_assert(A::kSteps % 2 == 0, "a stage begins with the first of two sets of A");

  template <int kUnit>
  __device__ __forceinline__ void load(int stage) {
    constexpr int kStep = kUnit / kMmasN;
    if constexpr (kUnit == 0) load_a<kStep>(stage);
    load_b<kStep>(stage, kUnit % kMmasN, b_[kUnit % kBSlots]);
  }

  template <int kStep>
  __device__ __forceinline__ void load_a(int stage) {
#pragma unroll
    for (int i = 0; i < kMmasM; ++i) {
      const int strip = m_begin / format::kPackedTileRows + i;
      const int at = strip * Layout::kSlices + slice;
      const uint32_t values =
          smem_address_ + stage + Layout::kValues + at * Layout::kSliceValuesBytes;
      const uint32_t metadata =
          smem_address_ + stage + Layout::kMetadata + at * Layout::kSliceMetadataBytes;
      const uint32_t scales = smem_address_ + stage + Layout::kScales + at * scales_.slice_bytes;
      fragments_[i].template load<kStep>(
          values, metadata, GroupScales{scales, scales_.slice_bytes, scales_.need_cast}, lane,
          a_[kStep % 2][i], e_[kStep % 2][i]);
    }
  }

  // Lanes 8i to 8i + 7 address matrix i. Another step's chunk differs from that of step 0 in bits
  // that the swizzle leaves where they are.
  template <int kStep>
  __device__ __forceinline__ void load_b(int stage, int j, uint32_t (&b)[A::kBMatrices]) const {
    constexpr int kChunk = A::template b_chunk<kStep>(0);
    constexpr int kPanel = kChunk / kChunksPerRow;
    constexpr uint32_t kChunkOffset = kChunk % kChunksPerRow * kChunkBytes;
    const uint32_t address =
        (b_address_ ^ kChunkOffset) + stage + kPanel * Layout::kPanelBytes + j * kMmaN * kRowBytes;
    if constexpr (A::kBMatrices == 4) {
      ptx::ldmatrix_m8n8_x4_b16(b, address);
    } else {
      ptx::ldmatrix_m8n8_x2_b16(b, address);
    }
  }

  template <int kUnit>
  __device__ __forceinline__ void multiply_unit() {
    constexpr int kStep = kUnit / kMmasN;
    constexpr int kSelector = A::template selector<kStep>();
    uint32_t b[4];
    prepare_b<kMultiply>(b_[kUnit % kBSlots], b);
#pragma unroll
    for (int i = 0; i < kMmasM; ++i) {
      multiply_accumulate<kMultiply, kSelector>(accumulator[i][kUnit % kMmasN], a_[kStep % 2][i], b,
                                                e_[kStep % 2][i]);
    }
  }

  uint32_t smem_address_;  // of the ring
  GroupScaleFormat scales_;
  uint32_t b_address_;  // of this lane's row of step 0 of stage 0
  A fragments_[kMmasM];
  uint4 a_[2][kMmasM];  // of two steps
  uint32_t e_[2][kMmasM];
  uint32_t b_[kBSlots][A::kBMatrices];  // of as many units
};

}  // namespace sparse_gemm::cuda
