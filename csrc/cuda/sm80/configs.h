// Every kernel that sm_80 and later run with mma.sp and cp.async: one row each, and why. In the
// order of growing tiles.
#pragma once

#include "core/kernel_config.h"
#include "cuda/device/stage_layout.h"

namespace sparse_gemm::cuda::sm80 {

// What a CTA can have on sm_86, sm_89 and sm_120, the least of all that run these kernels.
inline constexpr int kMaxSharedBytes = 99 * 1024;

template <CudaTile kTile>
constexpr CudaConfig config(std::string_view name, std::string_view why) {
  static_assert(kSharedBytes<kTile> <= kMaxSharedBytes);
  return {name, kTile, kSharedBytes<kTile>, why};
}

inline constexpr CudaConfig kConfigs[] = {
    config<CudaTile{64, 16, 64, 4, 1, 6, 4}>(
        "sm80_64x16x64",
        "few tokens: weight bytes are the bound, and six stages keep 22 KB of them on the way"),
    config<CudaTile{64, 64, 64, 2, 2, 3, 4}>(
        "sm80_64x64x64", "some tokens, or too few tiles of 128x128 to occupy every SM"),
    config<CudaTile{128, 128, 64, 2, 2, 3, 2}>(
        "sm80_128x128x64",
        "many tokens: warp tiles of 64x64 read 100 of the 128 bytes a clock of shared memory"),
};

template <int kRow>
inline constexpr CudaTile kTileOf = kConfigs[kRow].tile;

}  // namespace sparse_gemm::cuda::sm80
