// Which tile of D a CTA computes. A grid has one dimension: y and z end at 65535.
#pragma once

#include <cstdint>

namespace sparse_gemm::cuda {

struct TileCoord {
  uint32_t m;
  uint32_t n;
};

// CTAs that run at the same time should share operands in L2, so they walk down bands of this many
// tiles of M before they step along N. A tile of A has 9/16 of the bytes of one of B as large: with
// about 200 CTAs at a time, blocks of 16 by 12 tiles read the least.
inline constexpr uint32_t kBandTilesM = 16;

constexpr TileCoord tile_at(uint32_t cta, uint32_t tiles_m, uint32_t tiles_n) {
  const uint32_t band_ctas = (tiles_m < kBandTilesM ? tiles_m : kBandTilesM) * tiles_n;
  const uint32_t band_begin = cta / band_ctas * kBandTilesM;
  const uint32_t rest = tiles_m - band_begin;
  const uint32_t band_height = rest < kBandTilesM ? rest : kBandTilesM;
  const uint32_t in_band = cta % band_ctas;
  return {band_begin + in_band % band_height, in_band / band_height};
}

static_assert(tile_at(1u << 28, 1, (1u << 28) + 1).n == 1u << 28, "no grid is too wide for a band");

}  // namespace sparse_gemm::cuda
