// Times and hammers the plan cache through choose_plan, on a device and kernels that are made up.
// Prints nanoseconds a hit; exit status 1 if a thread got another plan than it would alone.
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "core/choose_plan.h"

using namespace sparse_gemm;

namespace {

constexpr CudaConfig kConfigs[] = {{"small", {64, 16, 4, 1, 6, 4}, ""},
                                   {"large", {128, 128, 2, 2, 3, 2}, ""}};
constexpr CudaKernel kKernels[] = {
    {&kConfigs[0], Multiply::kF16, BLoad::kAligned, 39'936, 0, kNoEnd},
    {&kConfigs[1], Multiply::kF16, BLoad::kAligned, 77'824, 0, kNoEnd},
};

CudaProps made_up() {
  CudaProps props;
  props.name = "made up";
  props.capability_major = 8;
  props.sm_count = 108;
  props.shared_memory_per_block = 163 << 10;
  props.shared_memory_per_sm = 164 << 10;
  props.l2_bytes = 40 << 20;
  return props;
}

Problem problem_of(int64_t n) {
  Problem problem;
  problem.m = problem.k = 4096;
  problem.n = n;
  problem.a.dtype = problem.b.dtype = problem.d.dtype = DType::kFloat16;
  problem.b.row_stride = 1;
  problem.b.col_stride = problem.k;
  return problem;
}

bool agrees(const CudaProps& props, int64_t n) {
  CudaPlan alone, cached;
  return choose_plan(problem_of(n), props, kNoDevice, kKernels, &alone).is_ok() &&
         choose_plan(problem_of(n), props, 0, kKernels, &cached).is_ok() &&
         alone.kernel == cached.kernel && alone.schedule.num_ctas == cached.schedule.num_ctas &&
         alone.schedule.num_whole_tiles == cached.schedule.num_whole_tiles;
}

double hit_ns(const CudaProps& props) {
  constexpr int kHits = 200'000;
  const Problem problem = problem_of(16);
  CudaPlan plan;
  int64_t sum = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kHits; ++i) {
    if (!choose_plan(problem, props, 0, kKernels, &plan).is_ok()) return -1;
    sum += plan.schedule.num_ctas;
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return sum == 0 ? -1 : took.count() / kHits;
}

// A plan that was made before a clear() and comes after it is not kept.
bool forgets_stale_plans() {
  PlanCache cache;
  CudaPlan plan;
  const PlanKey key = plan_key_of(problem_of(1), Multiply::kF16, 0);
  const int64_t before = cache.epoch();
  cache.clear();
  cache.insert(key, plan, before);
  if (cache.find(key, &plan)) return false;
  cache.insert(key, plan, cache.epoch());
  return cache.find(key, &plan);
}

}  // namespace

int main() {
  if (!forgets_stale_plans()) return 1;
  constexpr int kThreads = 4;
  constexpr int64_t kShapes = 2 * static_cast<int64_t>(PlanCache::kMaxPlans) / kThreads;
  const CudaProps props = made_up();
  std::vector<char> good(kThreads, 1);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int64_t i = 0; i < kShapes; ++i) {
        // Half of the shapes are every thread's, half its own.
        const int64_t n = 1 + (i % 2 == 0 ? i : i * kThreads + thread);
        if (!agrees(props, n)) good[thread] = 0;
        if (thread == 0 && i % 64 == 0) clear_tuned_choices();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const char is_good : good) {
    if (!is_good) return 1;
  }
  for (int64_t n = 1; n <= kShapes * kThreads; ++n) {
    if (!agrees(props, n)) return 1;
  }
  const int64_t size = plan_cache_counts().size;
  std::printf("{\"hit_ns\": %.1f, \"size\": %lld, \"max_size\": %zu}\n", hit_ns(props),
              static_cast<long long>(size), PlanCache::kMaxPlans);
  return 0;
}
