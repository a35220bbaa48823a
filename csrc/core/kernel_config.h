// The compile-time choices of a kernel, as one row of a table: cpu/configs.h, cuda/sm80/configs.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/device_props.h"

namespace sparse_gemm {

enum class CpuKernel : uint8_t {
  kRowDot,  // few tokens: vectors run along K, one dot product for each row and token
  kPanel,   // many tokens: vectors run along N, a row's kept weights are broadcast
};

// Bounds of a task, which size the kernels' scratch and which the planner keeps.
inline constexpr int64_t kMaxTileM = 64;         // rows of A
inline constexpr int64_t kMaxRowDotTokens = 16;  // beyond, a vector of tokens does more per weight
inline constexpr int64_t kMaxPanelTokens = 256;  // share one unpacking of the weights
inline constexpr int64_t kMaxPanelKTile = 128;   // elements of K in one cache block

// How many accumulators a kernel keeps in registers.
struct RegisterTile {
  int lanes;    // 32-bit lanes in a vector
  int rows;     // rows of A
  int columns;  // tokens (row_dot) or vectors of tokens (panel)
};

struct CpuConfig {
  std::string_view name;
  CpuKernel kernel;
  Isa isa;
  RegisterTile tile;
  std::string_view why;
};

// How a CUDA kernel cuts its work. A structural type: kernels take it as a template argument.
struct CudaTile {
  int m, n, k;           // of a CTA: rows of A, columns of B, and a stage's slice of K
  int warps_m, warps_n;  // how the warps share the CTA's tile
  int num_stages;        // of the ring in shared memory
  int ctas_per_sm;       // whose registers an SM must be able to hold

  static constexpr int kLanesPerWarp = 32;
  constexpr int num_threads() const { return warps_m * warps_n * kLanesPerWarp; }
  constexpr int warp_m() const { return m / warps_m; }
  constexpr int warp_n() const { return n / warps_n; }
};

struct CudaConfig {
  std::string_view name;
  CudaTile tile;
  int shared_bytes;  // of a CTA, which follow from the tile
  std::string_view why;
};

}  // namespace sparse_gemm
