// PlanCache: plans that were made before, so that a call of a known shape does not make one again.
// Safe to use from several threads; bounded.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "core/kernel_config.h"
#include "core/multiply.h"
#include "core/plan.h"
#include "core/problem.h"

namespace sparse_gemm {

// Everything of a problem that its plan depends on, and the device. Addresses and strides matter
// only in how the dense operand can be loaded.
struct PlanKey {
  int device = 0;
  Multiply multiply = Multiply::kF16;
  BLoad b_load = BLoad::kAligned;
  DType d = DType::kFloat32;
  bool a_is_batched = false;
  int group_size = 0;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t batch = 0;
  bool operator==(const PlanKey&) const = default;
};

PlanKey plan_key_of(const Problem& problem, Multiply multiply, int device);

class PlanCache {
 public:
  static constexpr size_t kMaxPlans = 4096;  // about 1 MB

  struct Counts {
    int64_t hits = 0;
    int64_t misses = 0;
    int64_t size = 0;
  };

  bool find(const PlanKey& key, CudaPlan* plan);
  // Of plans made before a clear() that happened meanwhile nothing is kept: `epoch` is what epoch()
  // said before the plan was made.
  void insert(const PlanKey& key, const CudaPlan& plan, int64_t epoch);
  void clear();
  int64_t epoch();
  Counts counts();

 private:
  struct Hash {
    size_t operator()(const PlanKey& key) const;
  };

  std::mutex mutex_;
  std::unordered_map<PlanKey, CudaPlan, Hash> plans_;
  Counts counts_;
  int64_t epoch_ = 0;
};

}  // namespace sparse_gemm
