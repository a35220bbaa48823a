// How the kernels of sm_80 and later cut their work: one row each, and why. In the order of growing
// tiles. For which types they exist is in sm80/kernels.h.
#pragma once

#include <iterator>

#include "core/kernel_config.h"

namespace sparse_gemm::cuda::sm80 {

// A row of kConfigs.
enum Config {
  k64x8,
  k64x16,
  k64x32,
  k128x8,
  k128x16,
  k128x32,
  k64x64,
  k128x64,
  k128x128,
  k128x128With8,
  k256x128,
};

// Tiles: m, n, warps along m and n, stages, CTAs whose registers an SM must be able to hold.
inline constexpr CudaConfig kConfigs[] = {
    {"sm80_64x8",
     {64, 8, 4, 1, 6, 4},
     "up to 8 tokens: weight bytes are the bound, and five stages ahead keep 23 KB of them on the "
     "way to a CTA"},
    {"sm80_64x16", {64, 16, 4, 1, 6, 4}, "up to 16 tokens: as 64x8"},
    {"sm80_64x32", {64, 32, 4, 1, 5, 3}, "up to 32 tokens, or too few larger tiles"},
    {"sm80_128x8",
     {128, 8, 4, 1, 5, 3},
     "up to 8 tokens, narrow weights: each 128 rows read the activations once, not each 64"},
    {"sm80_128x16", {128, 16, 4, 1, 4, 3}, "up to 16 tokens, narrow weights: as 128x8"},
    {"sm80_128x32",
     {128, 32, 4, 1, 4, 2},
     "up to 32 tokens: L2 delivers half as many bytes of activations as to 64x32"},
    {"sm80_64x64", {64, 64, 2, 2, 3, 3}, "some tokens, or too few larger tiles to occupy every SM"},
    {"sm80_128x64",
     {128, 64, 2, 2, 3, 2},
     "some tokens: half the accumulators of 128x128, which leaves registers to convert operands"},
    {"sm80_128x128",
     {128, 128, 2, 2, 3, 2},
     "many tokens: warp tiles of 64x64 read 100 of the 128 bytes a clock of shared memory"},
    {"sm80_128x128_8_warps",
     {128, 128, 2, 4, 3, 1},
     "many tokens, where an SM holds one CTA or operands take registers: two warps a scheduler, "
     "which read 144 bytes a clock at the A100's rate, 72 at the RTX 4090's"},
    {"sm80_256x128",
     {256, 128, 4, 2, 4, 1},
     "many tokens, where a CTA can have 160 KB: shared memory is filled with 34 bytes a clock "
     "instead of 50"},
};
static_assert(std::size(kConfigs) == k256x128 + 1);

}  // namespace sparse_gemm::cuda::sm80
