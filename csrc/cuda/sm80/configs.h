// How the kernels of sm_80 and later cut their work: one row each, and why. In the order of growing
// tiles. For which types they exist is in sm80/kernels.h.
#pragma once

#include <iterator>

#include "core/kernel_config.h"

namespace sparse_gemm::cuda::sm80 {

// A row of kConfigs.
enum Config {
  k16x8Sliced,
  k32x8Sliced,
  k32x16Sliced,
  k64x8,
  k64x16,
  k64x32,
  k64x32Sliced,
  k128x8,
  k128x16,
  k128x16Sliced,
  k128x32,
  k128x32Sliced,
  k64x64,
  k64x64Sliced,
  k128x64,
  k128x128,
  k128x128With8,
  k256x128,
};

// Tiles: m, n, warps along m and n, stages, CTAs whose registers an SM must be able to hold, warps
// along K.
inline constexpr CudaConfig kConfigs[] = {
    {"sm80_16x8_sliced",
     {16, 8, 1, 1, 5, 1, 8},
     "up to 8 tokens of a layer with a thousand rows or fewer: as 32x8_sliced"},
    {"sm80_32x8_sliced",
     {32, 8, 2, 1, 5, 2, 4},
     "up to 8 tokens of a layer with few rows: tiles so small that each SM has one, and none adds "
     "what another has summed"},
    {"sm80_32x16_sliced", {32, 16, 2, 1, 4, 2, 4}, "up to 16 tokens of a layer with few rows"},
    {"sm80_64x8",
     {64, 8, 4, 1, 6, 4},
     "up to 8 tokens: weight bytes are the bound, and five stages ahead keep 23 KB of them on the "
     "way to a CTA"},
    {"sm80_64x16", {64, 16, 4, 1, 6, 4}, "up to 16 tokens: as 64x8"},
    {"sm80_64x32", {64, 32, 4, 1, 5, 3}, "up to 32 tokens, or too few larger tiles"},
    {"sm80_64x32_sliced",
     {64, 32, 4, 1, 5, 1, 2},
     "up to 32 tokens, one tile an SM: its eight warps and a ring of longer stages are as much as "
     "two CTAs of 64x32"},
    {"sm80_128x8",
     {128, 8, 4, 1, 5, 3},
     "up to 8 tokens, narrow weights: each 128 rows read the activations once, not each 64"},
    {"sm80_128x16", {128, 16, 4, 1, 4, 3}, "up to 16 tokens, narrow weights: as 128x8"},
    {"sm80_128x16_sliced",
     {128, 16, 4, 1, 5, 1, 2},
     "up to 16 tokens, weights of 4 bits, one tile an SM: a ring of longer stages keeps enough of "
     "them on the way"},
    {"sm80_128x32",
     {128, 32, 4, 1, 4, 2},
     "up to 32 tokens: L2 delivers half as many bytes of activations as to 64x32"},
    {"sm80_128x32_sliced",
     {128, 32, 4, 1, 4, 1, 2},
     "up to 32 tokens, weights of 4 bits, one tile an SM: as 128x16_sliced"},
    {"sm80_64x64", {64, 64, 2, 2, 3, 3}, "some tokens, or too few larger tiles to occupy every SM"},
    {"sm80_64x64_sliced",
     {64, 64, 2, 2, 4, 1, 2},
     "some tokens of a layer with few rows, one tile an SM: as 64x32_sliced"},
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
