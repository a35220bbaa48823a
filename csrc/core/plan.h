// Plan: the decision how to run one Problem. Plain data; the planner makes it, a launcher obeys it,
// and `sparse_gemm.plan(...)` prints it.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/cuda_cost.h"
#include "core/kernel_config.h"
#include "core/schedule.h"

namespace sparse_gemm {

struct Plan {
  const CpuConfig* config = nullptr;  // a row of cpu/configs.h
  int64_t tile_m = 0;                 // rows of A in a task
  int64_t tile_n = 0;                 // tokens whose activations are packed at a time
  int64_t k_tile = 0;                 // K of one cache block (panel)
  int panel_vectors = 0;              // vectors of tokens that lie side by side (panel)
  int64_t num_spans = 1;              // of tile_n tokens that are packed, then multiplied, together
  int64_t num_tasks = 0;              // for each tile_n tokens
  int num_threads = 1;
  int num_pack_threads = 1;
  int64_t workspace_bytes = 0;  // packed activations
  int64_t a_bytes = 0;          // values and metadata
  int64_t multiply_adds = 0;    // with the kept weights only
};

struct CudaPlan {
  const CudaKernel* kernel = nullptr;  // a row of cuda/sm80/kernels.h
  Schedule schedule;
  int64_t tiles_m = 0;  // of one matrix of the batch
  int64_t tiles_n = 0;
  int64_t workspace_bytes = 0;  // partial sums, which need no initial value
  int64_t num_counters = 0;     // uint32, zero before and after each launch
  int64_t a_bytes = 0;          // packed values, metadata and group scales
  int64_t multiply_adds = 0;    // with the kept weights only
  CudaCost cost;                // as the planner estimates it
  bool is_tuned = false;        // chosen by `tune`, not by the estimate
};

}  // namespace sparse_gemm
