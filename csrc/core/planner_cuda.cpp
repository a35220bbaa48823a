#include <algorithm>

#include "core/planner.h"

namespace sparse_gemm {
namespace {

constexpr int64_t kVectorBytes = 16;  // of one cp.async

int64_t num_tiles(const Problem& problem, const CudaTile& tile) {
  return ceil_div(problem.m, tile.m) * ceil_div(problem.n, tile.n);
}

// The smallest tile that holds all N columns reads A once, and more than that nobody needs. Where N
// goes beyond, larger tiles read less; but one that is taller too leaves fewer CTAs, and is taken
// only if every SM still gets one.
const CudaConfig& choose_config(const Problem& problem, const CudaProps& props,
                                std::span<const CudaConfig> configs) {
  const CudaConfig* chosen = &configs.front();
  for (const CudaConfig& config : configs.subspan(1)) {
    const bool fills_device =
        config.tile.m == chosen->tile.m || num_tiles(problem, config.tile) >= props.sm_count;
    if (problem.n > chosen->tile.n && fills_device) chosen = &config;
  }
  return *chosen;
}

BLoad choose_b_load(const DenseOperand& b, int64_t n) {
  const bool has_aligned_rows = reinterpret_cast<uintptr_t>(b.data) % kVectorBytes == 0 &&
                                (n <= 1 || b.col_stride * bytes_of(b.dtype) % kVectorBytes == 0);
  return b.row_stride == 1 && has_aligned_rows ? BLoad::kAligned : BLoad::kAny;
}

}  // namespace

CudaPlan make_plan(const Problem& problem, const CudaProps& props,
                   std::span<const CudaConfig> configs) {
  const Pattern pattern = problem.a.pattern;
  const int64_t kept = k_compressed(pattern, problem.k);
  CudaPlan plan;
  plan.config = &choose_config(problem, props, configs);
  plan.b_load = choose_b_load(problem.b, problem.n);
  plan.num_ctas = num_tiles(problem, plan.config->tile);
  plan.shared_memory_bytes = plan.config->shared_bytes;
  plan.a_bytes =
      problem.m * (kept * bytes_of(problem.a.dtype) + metadata_row_bytes(pattern, problem.k));
  plan.multiply_adds = problem.m * problem.n * kept;
  return plan;
}

}  // namespace sparse_gemm
