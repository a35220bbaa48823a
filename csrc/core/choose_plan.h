// choose_plan: the plan of a problem on a device, from whoever has the say: a choice that the
// calling thread forces, else what was decided before, else what `tune` measured, else the cost
// model.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/device_props.h"
#include "core/plan.h"
#include "core/plan_cache.h"
#include "core/problem.h"
#include "core/status.h"

namespace sparse_gemm {

// Of properties that are made up: nothing is remembered for such a device, nothing was tuned.
inline constexpr int kNoDevice = -1;

// `problem` is valid; whether the device can run it is found out here. `plan.kernel` is one of
// `kernels`, which are the same at every call.
Status choose_plan(const Problem& problem, const CudaProps& props, int device,
                   std::span<const CudaKernel> kernels, CudaPlan* plan);

// ------------------------------------------------------------------------------------------ forced

// What the calling thread runs whatever the problem: for tests and `tune`. A problem that the
// kernel cannot run is refused.
struct ForcedChoice {
  int64_t kernel = -1;           // its index; negative: nothing is forced
  int64_t num_ctas = 0;          // 0: the kernel's cheapest schedule
  int64_t num_whole_tiles = -1;  // negative: all
};

void force_choice(const ForcedChoice& choice);

// ------------------------------------------------------------------------------------------- tuned

enum class ScheduleKind : uint8_t { kWhole, kStreamK, kSplit };

inline constexpr int kNumScheduleKinds = 3;
inline constexpr std::string_view kScheduleKindNames[kNumScheduleKinds] = {"whole", "stream-k",
                                                                           "split"};

constexpr std::string_view name_of(ScheduleKind kind) {
  return kScheduleKindNames[static_cast<int>(kind)];
}
constexpr ScheduleKind kind_of(const Schedule& schedule) {
  if (schedule.num_shared_tiles() == 0) return ScheduleKind::kWhole;
  return schedule.num_whole_tiles == 0 ? ScheduleKind::kSplit : ScheduleKind::kStreamK;
}

// A choice holds for all N of its bucket, (2^(i-1), 2^i]: the kernel and the kind of schedule are
// kept, tiles and steps are counted anew.
constexpr int64_t bucket_of(int64_t n) {
  int64_t bucket = 1;
  while (bucket < n) bucket *= 2;
  return bucket;
}

struct TunedChoice {
  std::string config;
  ScheduleKind kind = ScheduleKind::kWhole;
  int64_t num_ctas = 0;  // of the problem that was measured
};

// `key.n` is rounded up to its bucket. Plans made until now are forgotten.
void set_tuned_choice(PlanKey key, const TunedChoice& choice);
void clear_tuned_choices();

PlanCache::Counts plan_cache_counts();

}  // namespace sparse_gemm
