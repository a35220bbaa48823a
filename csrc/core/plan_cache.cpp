#include "core/plan_cache.h"

#include "core/planner.h"

namespace sparse_gemm {

PlanKey plan_key_of(const Problem& problem, Multiply multiply, int device) {
  return {device,
          multiply,
          b_load_of(problem),
          problem.d.dtype,
          problem.a.is_batched,
          problem.a.group_size,
          problem.m,
          problem.n,
          problem.k,
          problem.batch};
}

size_t PlanCache::Hash::operator()(const PlanKey& key) const {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio, as Fibonacci hashing
  constexpr int kShift = 29;
  const int64_t small =
      (((static_cast<int64_t>(key.device) * kNumMultiplies + static_cast<int>(key.multiply)) *
            kNumBLoads +
        static_cast<int>(key.b_load)) *
           kNumDTypes +
       static_cast<int>(key.d)) *
          2 +
      (key.a_is_batched ? 1 : 0);
  uint64_t hash = 0;
  for (const int64_t part : {key.m, key.n, key.k, key.batch, small, int64_t{key.group_size}}) {
    hash = (hash ^ static_cast<uint64_t>(part)) * kOdd;
    hash ^= hash >> kShift;
  }
  return static_cast<size_t>(hash);
}

bool PlanCache::find(const PlanKey& key, CudaPlan* plan) {
  const std::lock_guard lock(mutex_);
  const auto found = plans_.find(key);
  if (found == plans_.end()) {
    ++counts_.misses;
    return false;
  }
  ++counts_.hits;
  *plan = found->second;
  return true;
}

void PlanCache::insert(const PlanKey& key, const CudaPlan& plan, int64_t epoch) {
  const std::lock_guard lock(mutex_);
  if (epoch != epoch_) return;
  if (plans_.size() >= kMaxPlans) plans_.clear();  // shapes that are in use come back by themselves
  plans_.insert_or_assign(key, plan);
}

void PlanCache::clear() {
  const std::lock_guard lock(mutex_);
  plans_.clear();
  ++epoch_;
}

int64_t PlanCache::epoch() {
  const std::lock_guard lock(mutex_);
  return epoch_;
}

PlanCache::Counts PlanCache::counts() {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.size = static_cast<int64_t>(plans_.size());
  return counts;
}

}  // namespace sparse_gemm
