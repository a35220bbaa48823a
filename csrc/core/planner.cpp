#include "core/planner.h"

#include <algorithm>

namespace sparse_gemm {
namespace {

// Packed activations in one cache block: three quarters of a common L1 data cache, the rest is for
// weights, offsets and accumulators on their way (docs/kernels.md).
constexpr int64_t kPanelBlockBytes = 24 << 10;

constexpr int64_t kCacheLine = 64;

// Groups of K in a cache block are a multiple of this: whole steps of every form.
constexpr int64_t kGroupsOfSteps = 8;

// Below this much work a second thread costs more to wake than it saves (about 10 us of FMAs).
constexpr int64_t kMultiplyAddsPerThread = 1 << 17;

// Fewer activations are packed sooner than a second thread could be told to help (about 10 us).
constexpr int64_t kMinPackedElems = 1 << 15;

// Spans are packed together as long as they fit into L2: between two lots of them threads wait for
// one another, which small layers feel.
constexpr int64_t kPackedTogetherBytes = 2 << 20;

// What a row of A takes in memory: kept values (two 4-bit ones a byte), metadata, group scales.
int64_t row_bytes(const SparseOperand& a, int64_t k) {
  constexpr int64_t kScaleBytes = 2;
  const int64_t scales = a.group_size == 0 ? 0 : ceil_div(k, a.group_size);
  return k_compressed(a.pattern, a.dtype, k) * bytes_of(a.dtype) +
         metadata_row_bytes(a.pattern, k) + scales * kScaleBytes;
}

// Tasks of about equal size, a whole number for each thread.
int64_t rows_of_task(int64_t m, int64_t threads, int64_t step, int64_t max_rows) {
  const int64_t of_thread = ceil_div(m, threads);
  const int64_t tasks = std::max<int64_t>(ceil_div(of_thread, max_rows), 1);
  return std::clamp(round_up(ceil_div(of_thread, tasks), step), step, max_rows);
}

void plan_row_dot(const Problem& problem, int64_t threads, Plan* plan) {
  plan->tile_m = rows_of_task(problem.m, threads, plan->config->tile.rows, kMaxTileM);
  plan->tile_n = std::min<int64_t>(problem.n, plan->config->row.max_tokens);
  plan->k_tile = round_up(problem.k, kMaxStepK);
  plan->workspace_bytes = plan->tile_n * plan->k_tile * plan->config->row.element_bytes;
}

// Spans of about equal size: each prepares the weights once more.
int64_t tokens_of_span(int64_t n) {
  return ceil_div(n, std::max<int64_t>(ceil_div(n, kMaxPanelTokens), 1));
}

void plan_row_block(const Problem& problem, int64_t threads, Plan* plan) {
  const CpuConfig& config = *plan->config;
  plan->tile_m = rows_of_task(problem.m, threads, config.tile.rows, kMaxPanelTileM);
  plan->tile_n = round_up(tokens_of_span(problem.n), config.tile.columns);
  plan->k_tile = round_up(problem.k, kMaxStepK);
  plan->workspace_bytes = plan->tile_n * plan->k_tile * config.row.element_bytes;
}

void plan_panel(const Problem& problem, int64_t groups, int64_t threads, Plan* plan) {
  const CpuConfig& config = *plan->config;
  const PanelLayout& layout = config.panel;
  const int64_t step_tokens = config.tile.lanes * layout.step_vectors;
  const int64_t panel_tokens = config.tile.lanes * config.tile.columns;
  plan->tile_m = rows_of_task(problem.m, threads, config.tile.rows, kMaxPanelTileM);
  const int64_t of_span = round_up(tokens_of_span(problem.n), step_tokens);
  plan->tile_n = of_span <= panel_tokens ? of_span : round_up(of_span, panel_tokens);
  plan->panel_vectors = static_cast<int>(std::min(plan->tile_n, panel_tokens) / config.tile.lanes);
  const int64_t group_bytes = plan->panel_vectors * layout.group_bytes;
  const int64_t block_groups = kPanelBlockBytes / group_bytes / kGroupsOfSteps * kGroupsOfSteps;
  constexpr int64_t kGroupSize = traits_of(Pattern::k2of4).group_size;
  plan->k_tile = std::clamp<int64_t>(block_groups, kGroupsOfSteps, layout.max_groups) * kGroupSize;
  const int64_t panels = ceil_div(plan->tile_n, panel_tokens);
  plan->workspace_bytes = panels * round_up(groups, layout.step_groups) * group_bytes;
}

// Panels of one width: with a narrow last one, rows would have too few sums to hide a product's
// latency.
void plan_dense_panel(const Problem& problem, int64_t threads, Plan* plan) {
  const CpuConfig& config = *plan->config;
  const int64_t lanes = config.tile.lanes;
  const int64_t vectors = ceil_div(tokens_of_span(problem.n), lanes);
  const int64_t panels = ceil_div(vectors, config.tile.columns);
  constexpr int64_t kGroupSize = traits_of(Pattern::k2of4).group_size;
  plan->panel_vectors = static_cast<int>(ceil_div(vectors, panels));
  plan->tile_m = rows_of_task(problem.m, threads, config.tile.min_sums, kMaxPanelTileM);
  plan->tile_n = panels * plan->panel_vectors * lanes;
  plan->k_tile = config.panel.max_groups * kGroupSize;
  const int64_t groups =
      round_up(num_groups(problem.a.pattern, problem.k), config.panel.step_groups);
  plan->workspace_bytes = panels * plan->panel_vectors * groups * config.panel.group_bytes;
}

// The instruction set whose kernels are the fastest for activations of a type: the most capable one
// that has any of its own. On Intel's cores FMAs multiply bfloat16 faster than its dot products.
Isa isa_for(std::span<const CpuConfig> configs, const CpuProps& props, DType type) {
  for (Isa isa = props.isa; isa != Isa::kPortable; isa = below(isa)) {
    if (isa == Isa::kAvx512Bf16 && props.intel_core) continue;
    if (find_config(configs, CpuKernel::kRowDot, isa, type) != nullptr) return isa;
  }
  return Isa::kPortable;
}

// Of the kernels for many tokens. On Intel's cores a permutation takes the place of a dot product
// of quads.
const CpuConfig* config_for_many(std::span<const CpuConfig> configs, const CpuProps& props, Isa isa,
                                 DType type) {
  if (props.intel_core) {
    const CpuConfig* dense = find_config(configs, CpuKernel::kDensePanel, isa, type);
    if (dense != nullptr) return dense;
  }
  for (CpuKernel kernel : {CpuKernel::kRowBlock, CpuKernel::kPairPanel}) {
    const CpuConfig* config = find_config(configs, kernel, isa, type);
    if (config != nullptr) return config;
  }
  return find_config(configs, CpuKernel::kPanel, isa, type);
}

// Up to how many tokens row_dot is the faster kernel: dense_panel permutes nothing.
int64_t few_tokens(const CpuConfig& row_dot, const CpuConfig& many) {
  constexpr int64_t kBeforeDense = 8;
  const int64_t tokens = row_dot.row.max_tokens;
  return many.kernel == CpuKernel::kDensePanel ? std::min(tokens, kBeforeDense) : tokens;
}

// How many spans of tile_n tokens are packed together, at least one.
int64_t spans_together(int64_t span_bytes, int64_t n, int64_t tile_n) {
  if (span_bytes == 0 || tile_n == 0) return 1;
  return std::clamp<int64_t>(kPackedTogetherBytes / span_bytes, 1,
                             std::max<int64_t>(ceil_div(n, tile_n), 1));
}

}  // namespace

Plan make_plan(const Problem& problem, const CpuProps& props, std::span<const CpuConfig> configs) {
  const Pattern pattern = problem.a.pattern;
  const int64_t kept = k_compressed(pattern, problem.k);
  const int64_t groups = num_groups(pattern, problem.k);
  const int64_t padded_k = groups * traits_of(pattern).group_size;
  const DType type = problem.b.dtype;
  const int64_t max_threads = std::max(props.num_threads, 1);

  Plan plan;
  const Isa isa = isa_for(configs, props, type);
  const CpuConfig* many = config_for_many(configs, props, isa, type);
  plan.config = find_config(configs, CpuKernel::kRowDot, isa, type);
  if (problem.n <= few_tokens(*plan.config, *many)) {
    plan_row_dot(problem, max_threads, &plan);
  } else {
    plan.config = many;
    switch (many->kernel) {
      case CpuKernel::kDensePanel:
        plan_dense_panel(problem, max_threads, &plan);
        break;
      case CpuKernel::kRowBlock:
        plan_row_block(problem, max_threads, &plan);
        break;
      default:
        plan_panel(problem, groups, max_threads, &plan);
    }
  }
  plan.num_tasks = ceil_div(problem.m, plan.tile_m);
  const int64_t span_bytes = round_up(plan.workspace_bytes, kCacheLine);
  plan.num_spans = spans_together(span_bytes, problem.n, plan.tile_n);
  plan.workspace_bytes = plan.num_spans * span_bytes;
  plan.a_bytes = problem.m * row_bytes(problem.a, problem.k);
  plan.multiply_adds = problem.m * problem.n * kept;
  const int64_t useful_threads = ceil_div(plan.multiply_adds, kMultiplyAddsPerThread);
  plan.num_threads = static_cast<int>(std::clamp<int64_t>(
      std::min(useful_threads, plan.num_spans * plan.num_tasks), 1, max_threads));
  const int64_t packed_elems = plan.num_spans * plan.tile_n * padded_k;
  plan.num_pack_threads = packed_elems < kMinPackedElems ? 1 : plan.num_threads;
  return plan;
}

}  // namespace sparse_gemm
