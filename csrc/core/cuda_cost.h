// CudaCost: what the planner expects a launch to take, and what bounds it. Microseconds.
#pragma once

#include <cstdint>
#include <string_view>

namespace sparse_gemm {

enum class CudaBound : uint8_t { kMma, kIssue, kShared, kL2, kDram };

inline constexpr int kNumCudaBounds = 5;
inline constexpr std::string_view kCudaBoundNames[kNumCudaBounds] = {"mma", "issue",
                                                                     "shared memory", "L2", "DRAM"};

constexpr std::string_view name_of(CudaBound bound) {
  return kCudaBoundNames[static_cast<int>(bound)];
}

struct CudaCost {
  // The main loops of the whole launch, if nothing but this bound them.
  double main_loop_us[kNumCudaBounds] = {};
  double wave_quantisation = 1.0;  // the busiest SM's share over the mean
  double fixed_us = 0.0;           // launch, prologue, epilogue, adding partial sums
  double total_us = 0.0;
  double dense_us = 0.0;  // what a dense product of the usual type would take
  CudaBound bound = CudaBound::kDram;
};

}  // namespace sparse_gemm
