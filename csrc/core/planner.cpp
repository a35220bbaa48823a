#include "core/planner.h"

#include <algorithm>

namespace sparse_gemm {
namespace {

// K of one cache block: 128 x 64 tokens x 4 bytes = 32 KiB, a common L1 data cache. Smaller blocks
// load and store the accumulators more often (docs/kernels.md).
constexpr int64_t kPanelKTile = 128;
static_assert(kPanelKTile <= kMaxPanelKTile, "the panel kernel's scratch holds kMaxPanelKTile");

// Below this much work a second thread costs more to wake than it saves (about 10 us of FMAs).
constexpr int64_t kMultiplyAddsPerThread = 1 << 17;

// Fewer activations are packed sooner than a second thread could be told to help (about 10 us).
constexpr int64_t kMinPackedElems = 1 << 15;

const CpuConfig& find_config(std::span<const CpuConfig> configs, CpuKernel kernel, Isa isa) {
  return *std::find_if(configs.begin(), configs.end(), [&](const CpuConfig& config) {
    return config.kernel == kernel && config.isa == isa;
  });
}

// What a row of A takes in memory: kept values (two 4-bit ones a byte), metadata, group scales.
int64_t row_bytes(const SparseOperand& a, int64_t k) {
  constexpr int64_t kScaleBytes = 2;
  const int64_t elems = k_compressed(a.pattern, k);
  const int64_t units =
      a.dtype == DType::kInt4x2 && a.pattern == Pattern::k2of4 ? elems / 2 : elems;
  const int64_t scales = a.group_size == 0 ? 0 : ceil_div(k, a.group_size);
  return units * bytes_of(a.dtype) + metadata_row_bytes(a.pattern, k) + scales * kScaleBytes;
}

}  // namespace

Plan make_plan(const Problem& problem, const CpuProps& props, std::span<const CpuConfig> configs) {
  constexpr int64_t kLaneBytes = 4;
  const bool few_tokens = problem.n <= kMaxRowDotTokens || problem.a.dtype != problem.b.dtype;
  const Pattern pattern = problem.a.pattern;
  const int64_t kept = k_compressed(pattern, problem.k);
  const int64_t padded_k = few_tokens
                               ? round_up(problem.k, kMaxStepK)
                               : num_groups(pattern, problem.k) * traits_of(pattern).group_size;

  Plan plan;
  plan.config =
      &find_config(configs, few_tokens ? CpuKernel::kRowDot : CpuKernel::kPanel, props.isa);
  const int64_t vector_tokens = plan.config->tile.lanes * plan.config->tile.columns;
  const int64_t max_threads = std::max(props.num_threads, 1);
  const int64_t rows_a_thread = round_up(ceil_div(problem.m, max_threads), plan.config->tile.rows);
  plan.tile_m = std::clamp<int64_t>(rows_a_thread, plan.config->tile.rows, kMaxTileM);
  plan.tile_n = few_tokens ? std::min(problem.n, kMaxRowDotTokens)
                           : std::min(kMaxPanelTokens, round_up(problem.n, vector_tokens));
  plan.k_tile = few_tokens ? padded_k : kPanelKTile;
  plan.num_tasks = ceil_div(problem.m, plan.tile_m);
  plan.workspace_bytes = plan.tile_n * padded_k * kLaneBytes;
  plan.a_bytes = problem.m * row_bytes(problem.a, problem.k);
  plan.multiply_adds = problem.m * problem.n * kept;
  const int64_t useful_threads = ceil_div(plan.multiply_adds, kMultiplyAddsPerThread);
  plan.num_threads = static_cast<int>(
      std::clamp<int64_t>(std::min(useful_threads, plan.num_tasks), 1, max_threads));
  plan.num_pack_threads = plan.tile_n * padded_k < kMinPackedElems ? 1 : plan.num_threads;
  return plan;
}

}  // namespace sparse_gemm
