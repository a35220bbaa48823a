// The table of all kernels of sm_80 and later: operand types x way to load B x config.
#pragma once

#include <algorithm>
#include <array>

#include "core/kernel_config.h"
#include "cuda/device/stage_layout.h"
#include "cuda/epilogue/lines.h"
#include "cuda/sm80/configs.h"

namespace sparse_gemm::cuda::sm80 {

// The ring; after the main loop the same memory takes the accumulators.
template <CudaTile kTile, Multiply kMultiply>
inline constexpr int kSharedBytes =
    std::max(StageLayout<kTile, kMultiply>::kRingBytes, line_bytes(kTile));

template <Multiply kMultiply, BLoad kBLoad, Config... kConfig>
struct KernelsOf {
  static constexpr std::array<CudaKernel, sizeof...(kConfig)> kRows = {
      CudaKernel{&kConfigs[kConfig], kMultiply, kBLoad,
                 kSharedBytes<kConfigs[kConfig].tile, kMultiply>, 0, kNoEnd}...};
};

// Kernels that ptxas has registers for up to 9.0; from 10.0 on some of them would spill.
template <Multiply kMultiply, BLoad kBLoad, Config... kConfig>
struct KernelsBefore100 {
  static constexpr auto kRows = [] {
    constexpr int kEnd = 100;
    auto rows = KernelsOf<kMultiply, kBLoad, kConfig...>::kRows;
    for (CudaKernel& row : rows) row.end_capability = kEnd;
    return rows;
  }();
};

template <typename... Group>
constexpr auto join() {
  std::array<CudaKernel, (Group::kRows.size() + ...)> rows;
  auto at = rows.begin();
  ((at = std::copy(Group::kRows.begin(), Group::kRows.end(), at)), ...);
  return rows;
}

// Few tokens take as small a tile as there is; types that matter most have the most tiles. B that
// is not aligned goes through one or two tiles of each type.
inline constexpr auto kKernels =
    join<KernelsOf<Multiply::kF16, BLoad::kAligned, k16x8Sliced, k32x8Sliced, k32x16Sliced, k64x8,
                   k64x16, k64x32, k64x32Sliced, k64x64Sliced, k128x32, k64x64, k128x64,
                   k128x128With8, k256x128>,
         KernelsBefore100<Multiply::kF16, BLoad::kAligned, k128x128>,
         KernelsOf<Multiply::kF16, BLoad::kAny, k64x32, k128x64>,
         KernelsOf<Multiply::kBF16, BLoad::kAligned, k16x8Sliced, k32x8Sliced, k32x16Sliced, k64x8,
                   k64x16, k64x32, k64x32Sliced, k64x64Sliced, k128x32, k64x64, k128x64,
                   k128x128With8, k256x128>,
         KernelsBefore100<Multiply::kBF16, BLoad::kAligned, k128x128>,
         KernelsOf<Multiply::kBF16, BLoad::kAny, k64x32, k128x64>,
         KernelsOf<Multiply::kF16AccF16, BLoad::kAligned, k64x64, k128x128, k256x128>,
         KernelsOf<Multiply::kF16AccF16, BLoad::kAny, k64x32>,
         KernelsOf<Multiply::kTF32, BLoad::kAligned, k64x16, k64x64, k128x64, k128x128>,
         KernelsOf<Multiply::kTF32, BLoad::kAny, k64x32, k128x64>,
         KernelsOf<Multiply::kS8, BLoad::kAligned, k16x8Sliced, k32x8Sliced, k32x16Sliced, k64x8,
                   k64x16, k64x32, k64x32Sliced, k64x64Sliced, k64x64, k128x128With8>,
         KernelsBefore100<Multiply::kS8, BLoad::kAligned, k256x128>,
         KernelsOf<Multiply::kS8, BLoad::kAny, k64x32, k128x64>,
         KernelsOf<Multiply::kS4, BLoad::kAligned, k64x16, k64x64, k128x128With8>,
         KernelsOf<Multiply::kS4, BLoad::kAny, k64x32>,
         KernelsOf<Multiply::kS4AsS8, BLoad::kAligned, k64x16, k64x64, k128x64>,
         KernelsOf<Multiply::kS4AsS8, BLoad::kAny, k64x32>,
         KernelsOf<Multiply::kE4M3, BLoad::kAligned, k64x8, k64x16, k64x64, k128x128With8>,
         KernelsOf<Multiply::kE4M3, BLoad::kAny, k64x32, k128x64>,
         KernelsOf<Multiply::kE4M3E5M2, BLoad::kAligned, k64x16, k128x128With8>,
         KernelsOf<Multiply::kE4M3E5M2, BLoad::kAny, k64x32>,
         KernelsOf<Multiply::kE5M2E4M3, BLoad::kAligned, k64x16, k128x128With8>,
         KernelsOf<Multiply::kE5M2E4M3, BLoad::kAny, k64x32>,
         KernelsOf<Multiply::kE5M2, BLoad::kAligned, k64x16, k128x128With8>,
         KernelsOf<Multiply::kE5M2, BLoad::kAny, k64x32>,
         KernelsOf<Multiply::kS8F16, BLoad::kAligned, k16x8Sliced, k32x8Sliced, k32x16Sliced,
                   k128x8, k128x16, k128x32, k128x64>,
         KernelsOf<Multiply::kS8F16, BLoad::kAny, k128x32>,
         KernelsOf<Multiply::kS8BF16, BLoad::kAligned, k16x8Sliced, k32x8Sliced, k32x16Sliced,
                   k128x8, k128x16, k128x32, k128x64>,
         KernelsOf<Multiply::kS8BF16, BLoad::kAny, k128x32>,
         KernelsOf<Multiply::kE4M3F16, BLoad::kAligned, k32x8Sliced, k128x8, k128x16, k128x64>,
         KernelsOf<Multiply::kE4M3F16, BLoad::kAny, k128x32>,
         KernelsOf<Multiply::kE4M3BF16, BLoad::kAligned, k32x8Sliced, k128x8, k128x16, k128x64>,
         KernelsOf<Multiply::kE4M3BF16, BLoad::kAny, k128x32>,
         KernelsOf<Multiply::kE5M2F16, BLoad::kAligned, k128x16, k128x64>,
         KernelsOf<Multiply::kE5M2F16, BLoad::kAny, k128x32>,
         KernelsOf<Multiply::kE5M2BF16, BLoad::kAligned, k128x16, k128x64>,
         KernelsOf<Multiply::kE5M2BF16, BLoad::kAny, k128x32>,
         KernelsOf<Multiply::kS4F16, BLoad::kAligned, k16x8Sliced, k32x8Sliced, k128x8, k128x16,
                   k128x16Sliced, k128x32, k128x32Sliced, k128x64>,
         KernelsOf<Multiply::kS4F16, BLoad::kAny, k128x32>,
         KernelsOf<Multiply::kS4BF16, BLoad::kAligned, k16x8Sliced, k32x8Sliced, k128x8, k128x16,
                   k128x16Sliced, k128x32, k128x32Sliced, k128x64>,
         KernelsOf<Multiply::kS4BF16, BLoad::kAny, k128x32>>();

inline constexpr int kNumKernels = static_cast<int>(kKernels.size());

}  // namespace sparse_gemm::cuda::sm80
