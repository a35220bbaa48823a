#include "core/choose_plan.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "core/dispatch.h"
#include "core/planner.h"

namespace sparse_gemm {
namespace {

thread_local ForcedChoice forced;

struct TunedEntry {
  PlanKey key;
  TunedChoice choice;
};

// Some hundred at most, looked through when a plan is made; never destroyed, as threads may outlive
// statics.
struct Shared {
  PlanCache cache;
  std::mutex mutex;
  std::vector<TunedEntry> tuned;
};

Shared& shared() {
  static Shared* const instance = new Shared;
  return *instance;
}

bool find_tuned(PlanKey key, TunedChoice* choice) {
  key.n = bucket_of(key.n);
  const std::lock_guard lock(shared().mutex);
  const auto& tuned = shared().tuned;
  const auto found =
      std::find_if(tuned.begin(), tuned.end(), [&](const auto& entry) { return entry.key == key; });
  if (found == tuned.end()) return false;
  *choice = found->choice;
  return true;
}

// The candidate that a tuned choice means here: of its kernels' plans the one with as many CTAs,
// else the cheapest of the kind, else the kernel's cheapest. Null if the kernel is gone.
const CudaPlan* pick(const std::vector<CudaPlan>& candidates, const TunedChoice& choice) {
  const CudaPlan* best = nullptr;
  int best_rank = -1;
  for (const CudaPlan& plan : candidates) {
    if (plan.kernel->config->name != choice.config) continue;
    const bool same_kind = kind_of(plan.schedule) == choice.kind;
    const int rank = (same_kind ? 1 : 0) + (same_kind && plan.schedule.num_ctas == choice.num_ctas);
    if (rank > best_rank) {
      best = &plan;
      best_rank = rank;
    }
  }
  return best;
}

Status run_forced(const Problem& problem, Multiply multiply, const CudaProps& props,
                  std::span<const CudaKernel> kernels, CudaPlan* plan) {
  if (forced.kernel >= static_cast<int64_t>(kernels.size())) {
    return Status::invalid_argument("kernel " + std::to_string(forced.kernel) +
                                    " is forced; expected less than " +
                                    std::to_string(kernels.size()));
  }
  return plan_of(problem, multiply, props, kernels[static_cast<size_t>(forced.kernel)],
                 forced.num_ctas, forced.num_whole_tiles, plan);
}

}  // namespace

Status choose_plan(const Problem& problem, const CudaProps& props, int device,
                   std::span<const CudaKernel> kernels, CudaPlan* plan) {
  Multiply multiply;
  if (Status status = find_multiply(problem, props, &multiply); !status.is_ok()) return status;
  if (forced.kernel >= 0) return run_forced(problem, multiply, props, kernels, plan);
  if (device == kNoDevice) return make_plan(problem, multiply, props, kernels, plan);

  PlanCache& cache = shared().cache;
  const PlanKey key = plan_key_of(problem, multiply, device);
  if (cache.find(key, plan)) return Status::ok();
  const int64_t epoch = cache.epoch();
  TunedChoice choice;
  if (find_tuned(key, &choice)) {
    const std::vector<CudaPlan> candidates = candidate_plans(problem, multiply, props, kernels);
    if (const CudaPlan* tuned = pick(candidates, choice)) {
      *plan = *tuned;
      plan->is_tuned = true;
      cache.insert(key, *plan, epoch);
      return Status::ok();
    }
  }
  if (Status status = make_plan(problem, multiply, props, kernels, plan); !status.is_ok()) {
    return status;
  }
  cache.insert(key, *plan, epoch);
  return Status::ok();
}

void force_choice(const ForcedChoice& choice) {
  forced = choice;
}

void set_tuned_choice(PlanKey key, const TunedChoice& choice) {
  key.n = bucket_of(key.n);
  {
    const std::lock_guard lock(shared().mutex);
    auto& tuned = shared().tuned;
    std::erase_if(tuned, [&](const auto& entry) { return entry.key == key; });
    tuned.push_back({key, choice});
  }
  shared().cache.clear();
}

void clear_tuned_choices() {
  {
    const std::lock_guard lock(shared().mutex);
    shared().tuned.clear();
  }
  shared().cache.clear();
}

PlanCache::Counts plan_cache_counts() {
  return shared().cache.counts();
}

}  // namespace sparse_gemm
