// Plan: the decision how to run one Problem. Plain data; the planner makes it, a launcher obeys it,
// and `sparse_gemm.plan(...)` prints it.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/kernel_config.h"

namespace sparse_gemm {

struct Plan {
  const CpuConfig* config = nullptr;  // a row of cpu/configs.h
  int64_t tile_m = 0;                 // rows of A in a task
  int64_t tile_n = 0;                 // tokens whose activations are packed at a time
  int64_t k_tile = 0;                 // K of one cache block (panel)
  int64_t num_tasks = 0;              // for each tile_n tokens
  int num_threads = 1;
  int num_pack_threads = 1;
  int64_t workspace_bytes = 0;  // packed activations
  int64_t a_bytes = 0;          // values and metadata
  int64_t multiply_adds = 0;    // with the kept weights only
};

// How the dense operand reaches shared memory.
enum class BLoad : uint8_t {
  kAligned,  // K is contiguous and rows begin at multiples of 16 bytes: cp.async of 16 bytes
  kAny,      // cp.async of 4 bytes where rows begin at multiples of 4, else element by element
};

inline constexpr int kNumBLoads = 2;
inline constexpr std::string_view kBLoadNames[kNumBLoads] = {"aligned", "any"};

constexpr std::string_view name_of(BLoad load) {
  return kBLoadNames[static_cast<int>(load)];
}

struct CudaPlan {
  const CudaConfig* config = nullptr;  // a row of cuda/sm80/configs.h
  BLoad b_load = BLoad::kAny;
  int64_t num_ctas = 0;             // one for each tile of D
  int64_t shared_memory_bytes = 0;  // of a CTA
  int64_t a_bytes = 0;              // packed values and metadata
  int64_t multiply_adds = 0;        // with the kept weights only
};

}  // namespace sparse_gemm
