#include <algorithm>
#include <string>
#include <tuple>

#include "core/cost_model.h"
#include "core/planner.h"

namespace sparse_gemm {
namespace {

constexpr int64_t kVectorBytes = 16;   // of one cp.async
constexpr int64_t kMinStepsOfRun = 4;  // fewer do not fill a ring, and partial sums are no gain
constexpr int64_t kSumBytes = 4;

// Tiles of D and steps along K; the rest of a Schedule is still open.
Schedule tiles_of(const Problem& problem, const CudaKernel& kernel, CudaPlan* plan) {
  const CudaTile& tile = kernel.config->tile;
  const bool is_empty = problem.m == 0 || problem.n == 0;
  plan->tiles_m = is_empty ? 0 : ceil_div(problem.m, tile.m);
  plan->tiles_n = is_empty ? 0 : ceil_div(problem.n, tile.n);
  Schedule schedule;
  schedule.num_tiles = plan->tiles_m * plan->tiles_n * problem.batch;
  schedule.num_k_tiles = ceil_div(problem.k, stage_k_of(kernel));
  schedule.num_whole_tiles = schedule.num_tiles;
  return schedule;
}

Schedule with(Schedule schedule, int64_t num_ctas, int64_t num_whole_tiles) {
  schedule.num_ctas = num_ctas;
  schedule.num_whole_tiles = num_whole_tiles;
  return schedule;
}

// Schedules worth a thought of `tiles` on `places` CTAs at once, `sm_count` SMs.
std::vector<Schedule> schedules_of(const Schedule& tiles, int64_t sm_count, int64_t ctas_per_sm) {
  const int64_t num_tiles = tiles.num_tiles;
  const int64_t places = sm_count * ctas_per_sm;
  std::vector<Schedule> found = {with(tiles, std::min(num_tiles, places), num_tiles)};
  const auto share = [&](int64_t num_ctas, int64_t num_whole_tiles) {
    const Schedule schedule = with(tiles, num_ctas, num_whole_tiles);
    if (schedule.num_shared_steps() < num_ctas * kMinStepsOfRun) return;
    if (schedule.num_shared_steps() == 0) return;
    if (std::find(found.begin(), found.end(), schedule) != found.end()) return;
    found.push_back(schedule);
  };
  for (int64_t resident = 1; resident <= ctas_per_sm; ++resident) {
    const int64_t num_ctas = resident * sm_count;
    share(num_ctas, 0);  // every CTA the same steps of all tiles
    // Where there are more CTAs than tiles, also as many for each tile, so that none has two
    // pieces.
    const int64_t ways = num_ctas / num_tiles;
    if (ways > 1 && ways * num_tiles != num_ctas) share(ways * num_tiles, 0);
    // Whole tiles as long as all CTAs have one, and the last wave, or the last two, shared.
    const int64_t waves = num_tiles / num_ctas;
    if (waves > 0 && num_tiles % num_ctas != 0) share(num_ctas, waves * num_ctas);
    if (waves > 1 && num_tiles % num_ctas != 0) share(num_ctas, (waves - 1) * num_ctas);
  }
  // Too little for all SMs: fewer CTAs, fewer partial sums.
  for (const int64_t ways : {2, 3, 4, 6, 8, 12, 16, 24, 32}) {
    if (ways * num_tiles < sm_count) share(ways * num_tiles, 0);
  }
  return found;
}

void finish(const Problem& problem, const CudaProps& props, CudaPlan* plan) {
  const CudaKernel& kernel = *plan->kernel;
  const CudaTile& tile = kernel.config->tile;
  const MultiplyTraits traits = traits_of(kernel.multiply);
  const Schedule& schedule = plan->schedule;
  constexpr int64_t kStripRows = 16;
  const int64_t strip_bytes =
      stage_strip_bytes(traits) + stage_strip_scale_bytes(traits, problem.a.group_size);
  plan->num_counters = schedule.num_shared_tiles();
  plan->workspace_bytes = plan->num_counters == 0 ? 0
                                                  : kPartialsPerCta * schedule.num_ctas * tile.m *
                                                        tile.n * tile.warps_k * kSumBytes;
  plan->a_bytes = ceil_div(problem.m, kStripRows) * ceil_div(problem.k, traits.stage_k) *
                  strip_bytes * (problem.a.is_batched ? problem.batch : 1);
  // A place of 4:8 is a pair of elements.
  const int64_t elems = problem.a.pattern == Pattern::k4of8 ? 2 : 1;
  plan->multiply_adds =
      problem.m * problem.n * k_compressed(problem.a.pattern, problem.k) * elems * problem.batch;
  plan->cost = cost_of(problem, props, kernel, schedule);
}

std::vector<CudaPlan> plans_of_kernel(const Problem& problem, const CudaProps& props,
                                      const CudaKernel& kernel) {
  CudaPlan plan;
  plan.kernel = &kernel;
  const Schedule tiles = tiles_of(problem, kernel, &plan);
  std::vector<CudaPlan> plans;
  if (tiles.num_tiles == 0) {
    plan.schedule = with(tiles, 0, 0);
    finish(problem, props, &plan);
    return {plan};
  }
  for (const Schedule& schedule :
       schedules_of(tiles, std::max(props.sm_count, 1), resident_ctas(kernel, props))) {
    plan.schedule = schedule;
    finish(problem, props, &plan);
    plans.push_back(plan);
  }
  return plans;
}

// Without a kernel for aligned rows the general one takes them.
bool loads(const CudaKernel& kernel, BLoad b_load) {
  return kernel.b_load == BLoad::kAny || b_load == BLoad::kAligned;
}

// What the main loops move through L2 and shared memory, one after the other.
double traffic_us(const CudaCost& cost) {
  return cost.main_loop_us[static_cast<int>(CudaBound::kL2)] +
         cost.main_loop_us[static_cast<int>(CudaBound::kShared)];
}

// The estimate does not tell nearly equal ones apart: of those the first becomes one that moves the
// fewest bytes, in the kernel for aligned rows, with the work spread over most SMs.
void prefer_light(std::vector<CudaPlan>* sorted) {
  constexpr double kNearlyEqual = 1.03;
  if (sorted->empty()) return;
  const double limit = sorted->front().cost.total_us * kNearlyEqual;
  const auto end = std::find_if(sorted->begin(), sorted->end(),
                                [&](const CudaPlan& plan) { return plan.cost.total_us > limit; });
  const auto lightest =
      std::min_element(sorted->begin(), end, [](const CudaPlan& a, const CudaPlan& b) {
        const auto key = [](const CudaPlan& p) {
          return std::tuple(p.kernel->b_load, traffic_us(p.cost), p.cost.wave_quantisation,
                            p.workspace_bytes, p.cost.total_us);
        };
        return key(a) < key(b);
      });
  std::rotate(sorted->begin(), lightest, lightest + 1);
}

Status check_schedule(const Schedule& schedule) {
  const bool fits = schedule.num_ctas > 0 && schedule.num_whole_tiles >= 0 &&
                    schedule.num_whole_tiles <= schedule.num_tiles &&
                    (schedule.num_whole_tiles == schedule.num_tiles ||
                     schedule.num_whole_tiles % schedule.num_ctas == 0) &&
                    (schedule.num_k_tiles > 0 || schedule.num_shared_tiles() == 0);
  if (fits) return Status::ok();
  return Status::invalid_argument(std::to_string(schedule.num_whole_tiles) + " whole tiles of " +
                                  std::to_string(schedule.num_tiles) + " on " +
                                  std::to_string(schedule.num_ctas) +
                                  " CTAs; expected all, or a multiple of the number of CTAs");
}

}  // namespace

BLoad b_load_of(const Problem& problem) {
  const DenseOperand& b = problem.b;
  const auto is_aligned = [&](int64_t extent, int64_t stride) {
    return extent <= 1 || stride * bytes_of(b.dtype) % kVectorBytes == 0;
  };
  const bool begins_aligned = reinterpret_cast<uintptr_t>(b.data) % kVectorBytes == 0;
  return b.row_stride == 1 && begins_aligned && is_aligned(problem.n, b.col_stride) &&
                 is_aligned(problem.batch, b.batch_stride)
             ? BLoad::kAligned
             : BLoad::kAny;
}

std::vector<CudaPlan> candidate_plans(const Problem& problem, Multiply multiply,
                                      const CudaProps& props, std::span<const CudaKernel> kernels) {
  const BLoad b_load = b_load_of(problem);
  std::vector<CudaPlan> candidates;
  for (const CudaKernel& kernel : kernels) {
    if (kernel.multiply != multiply || !loads(kernel, b_load)) continue;
    if (resident_ctas(kernel, props) == 0) continue;
    const std::vector<CudaPlan> plans = plans_of_kernel(problem, props, kernel);
    candidates.insert(candidates.end(), plans.begin(), plans.end());
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.cost.total_us < b.cost.total_us; });
  prefer_light(&candidates);
  return candidates;
}

Status plan_of(const Problem& problem, Multiply multiply, const CudaProps& props,
               const CudaKernel& kernel, int64_t num_ctas, int64_t num_whole_tiles,
               CudaPlan* plan) {
  if (kernel.multiply != multiply || !loads(kernel, b_load_of(problem)) ||
      resident_ctas(kernel, props) == 0) {
    return Status::invalid_argument(
        "the kernel " + std::string(kernel.config->name) + " of " +
        std::string(name_of(kernel.multiply)) + ", b_load " + std::string(name_of(kernel.b_load)) +
        " does not fit: the problem is " + std::string(name_of(multiply)) + ", b_load " +
        std::string(name_of(b_load_of(problem))));
  }
  CudaPlan made;
  made.kernel = &kernel;
  const Schedule tiles = tiles_of(problem, kernel, &made);
  if (num_ctas == 0 || tiles.num_tiles == 0) {
    const std::vector<CudaPlan> plans = plans_of_kernel(problem, props, kernel);
    *plan = *std::min_element(plans.begin(), plans.end(), [](const auto& a, const auto& b) {
      return a.cost.total_us < b.cost.total_us;
    });
    return Status::ok();
  }
  made.schedule = with(tiles, num_ctas, num_whole_tiles < 0 ? tiles.num_tiles : num_whole_tiles);
  if (Status status = check_schedule(made.schedule); !status.is_ok()) return status;
  finish(problem, props, &made);
  *plan = made;
  return Status::ok();
}

Status make_plan(const Problem& problem, Multiply multiply, const CudaProps& props,
                 std::span<const CudaKernel> kernels, CudaPlan* plan) {
  const std::vector<CudaPlan> candidates = candidate_plans(problem, multiply, props, kernels);
  if (candidates.empty()) {
    return Status::unsupported(props.name + " has no kernel for " + std::string(name_of(multiply)) +
                               ": none fits its shared memory");
  }
  *plan = candidates.front();
  return Status::ok();
}

}  // namespace sparse_gemm
