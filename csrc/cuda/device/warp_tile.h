// A warp's share of the tile: fragments from shared memory, mma.sp, accumulators.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "cuda/device/stage_layout.h"
#include "cuda/ptx/ldmatrix.h"
#include "cuda/ptx/mma_sp.h"

namespace sparse_gemm::cuda {

inline constexpr int kMmaM = 16;
inline constexpr int kMmaN = 8;
inline constexpr int kMmaK = format::kPackedStepK;

template <DType kDType, int kSelector>
__device__ __forceinline__ void mma_sp(float (&d)[4], const uint4& a, const uint32_t (&b)[4],
                                       uint32_t e) {
  if constexpr (kDType == DType::kFloat16) {
    ptx::mma_sp_m16n8k32_f32_f16_f16_f32<kSelector>(d, a, b, e);
  } else {
    static_assert(kDType == DType::kBFloat16);
    ptx::mma_sp_m16n8k32_f32_bf16_bf16_f32<kSelector>(d, a, b, e);
  }
}

template <CudaTile kTile, DType kDType>
struct WarpTile {
  using Layout = StageLayout<kTile>;
  static_assert(kTile.warp_m() % kMmaM == 0 && kTile.warp_n() % kMmaN == 0);
  static_assert(kTile.k == 2 * kMmaK, "the two selectors of a packed tile's metadata");
  static constexpr int kMmasM = kTile.warp_m() / kMmaM;
  static constexpr int kMmasN = kTile.warp_n() / kMmaN;

  int m_begin;  // in the CTA's tile
  int n_begin;
  int lane;
  float accumulator[kMmasM][kMmasN][4] = {};

  __device__ explicit WarpTile(int thread)
      : m_begin(thread / CudaTile::kLanesPerWarp / kTile.warps_n * kTile.warp_m()),
        n_begin(thread / CudaTile::kLanesPerWarp % kTile.warps_n * kTile.warp_n()),
        lane(thread % CudaTile::kLanesPerWarp) {}

  // Accumulates the products of one stage.
  __device__ void multiply_stage(const char* smem, uint32_t smem_address) {
    uint32_t e[kMmasM];
#pragma unroll
    for (int i = 0; i < kMmasM; ++i) {
      e[i] = reinterpret_cast<const uint32_t*>(smem + Layout::kMetadata)[packed_lane(i)];
    }
    multiply_step<0>(smem, smem_address, e);
    multiply_step<1>(smem, smem_address, e);
  }

 private:
  // Index of this lane's entry in the i-th of the warp's strips.
  __device__ int packed_lane(int i) const {
    return (m_begin / format::kPackedTileRows + i) * CudaTile::kLanesPerWarp + lane;
  }

  template <int kStep>
  __device__ void multiply_step(const char* smem, uint32_t smem_address,
                                const uint32_t (&e)[kMmasM]) {
    uint4 a[kMmasM];
#pragma unroll
    for (int i = 0; i < kMmasM; ++i) {
      const int strip = m_begin / format::kPackedTileRows + i;
      const int entry = (strip * format::kPackedStepsPerTile + kStep) * CudaTile::kLanesPerWarp;
      a[i] = reinterpret_cast<const uint4*>(smem)[entry + lane];
    }
#pragma unroll
    for (int j = 0; j < kMmasN; ++j) {
      uint32_t b[4];
      load_b<kStep>(smem_address, j, b);
#pragma unroll
      for (int i = 0; i < kMmasM; ++i) mma_sp<kDType, kStep>(accumulator[i][j], a[i], b, e[i]);
    }
  }

  // 32 elements of K by 8 columns: lanes 8i to 8i + 7 address matrix i, chunk i of the step.
  template <int kStep>
  __device__ void load_b(uint32_t smem_address, int j, uint32_t (&b)[4]) const {
    constexpr int kChunksPerStep = kMmaK / kChunkElems;
    const int row = n_begin + j * kMmaN + lane % kMmaN;
    const int chunk = kStep * kChunksPerStep + lane / kMmaN;
    ptx::ldmatrix_m8n8_x4_b16(b,
                              smem_address + Layout::kB + swizzled_chunk(row, chunk) * kChunkBytes);
  }
};

}  // namespace sparse_gemm::cuda
