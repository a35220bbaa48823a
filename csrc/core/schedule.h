// Schedule: which CTA multiplies what. Plain data; the planner makes it, kernels and tests read it.
//
// The work of a launch is `num_tiles` tiles of D with `num_k_tiles` steps along K each. Tiles
// [0, num_whole_tiles) are computed whole: CTA c takes c, c + num_ctas, c + 2 * num_ctas, ... The
// other tiles are shared (stream-K; a plain split along K where no tile is whole): their steps, in
// tile order, are dealt out in num_ctas runs that differ by one step at most.
//
// A run covers at most the end of one tile, whole tiles, and the beginning of another. Where a tile
// is covered by several runs, each leaves its partial sums in a slot of the workspace, and the CTA
// that comes last adds them in the order of K: the result does not depend on who that is.
#pragma once

#include <cstdint>

namespace sparse_gemm {

struct Schedule {
  int64_t num_tiles = 0;
  int64_t num_k_tiles = 0;
  int64_t num_whole_tiles = 0;  // a multiple of num_ctas, or num_tiles
  int64_t num_ctas = 0;

  constexpr bool operator==(const Schedule&) const = default;
  constexpr int64_t num_shared_tiles() const { return num_tiles - num_whole_tiles; }
  constexpr int64_t num_shared_steps() const { return num_shared_tiles() * num_k_tiles; }
  // Shared steps [run_begin(c), run_begin(c + 1)) are CTA c's.
  constexpr int64_t run_begin(int64_t cta) const {
    const int64_t each = num_shared_steps() / num_ctas;
    const int64_t more = num_shared_steps() % num_ctas;
    return cta * each + (cta < more ? cta : more);
  }
  // The CTA whose run holds a shared step.
  constexpr int64_t cta_of(int64_t step) const {
    const int64_t each = num_shared_steps() / num_ctas;
    const int64_t more = num_shared_steps() % num_ctas;
    const int64_t in_longer = more * (each + 1);
    return step < in_longer ? step / (each + 1) : more + (step - in_longer) / each;
  }
};

// A CTA's partial sums: the tile that its run begins within, and the one that it ends within.
inline constexpr int kPartialsPerCta = 2;

}  // namespace sparse_gemm
