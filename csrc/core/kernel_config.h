// The compile-time choices of a kernel, as one row of a table: cpu/configs.h, cuda/sm80/configs.h.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "core/device_props.h"
#include "core/dtype.h"
#include "core/multiply.h"

namespace sparse_gemm {

enum class CpuKernel : uint8_t {
  kRowDot,      // few tokens: vectors run along K, one dot product for each row and token
  kPanel,       // many tokens: vectors run along N, each kept weight is broadcast as a lane
  kPairPanel,   // many tokens: the same with the two weights of a group, as a pair of bfloat16
  kRowBlock,    // many tokens: along K, with the positions of two rows prepared for all tokens
  kDensePanel,  // many tokens: along N, pruned weights as zeros, where that is no slower
};

// Bounds of a task, which size the kernels' scratch and which the planner keeps.
inline constexpr int64_t kMaxTileM = 64;        // rows of A (row_dot), of D stored at a time
inline constexpr int64_t kMaxPanelTileM = 128;  // rows of A that share a block of activations
inline constexpr int64_t kMaxRowDotTokens = 32;
inline constexpr int64_t kMaxStepK = 128;        // elements of K in a step along K
inline constexpr int64_t kMaxPanelTokens = 256;  // share one unpacking of the weights

inline constexpr int kDensePanelGroups = 1024;  // of K that are expanded at a time

// How many accumulators a kernel keeps in registers.
struct RegisterTile {
  int lanes;         // 32-bit lanes in a vector
  int rows;          // rows of A
  int columns;       // tokens (row_dot, row_block) or vectors of tokens (panel)
  int min_sums = 0;  // a narrow panel takes more rows: sums that hide the latency of a product
};

// How kernels along K keep packed activations, and up to how many tokens row_dot is the faster one.
struct RowLayout {
  int element_bytes;
  int max_tokens = 0;
};

// How a panel kernel keeps the packed activations of one group of K.
struct PanelLayout {
  int group_bytes;   // for each vector of tokens
  int step_groups;   // the inner loop's step
  int step_vectors;  // vectors of tokens that only come together
  int max_groups;    // in one cache block: what the kernel's scratch holds
};

// A set of element types, as bits.
struct DTypeSet {
  uint32_t bits = 0;

  constexpr DTypeSet(std::initializer_list<DType> types) {
    for (DType type : types) bits |= 1u << static_cast<int>(type);
  }
  constexpr bool has(DType type) const { return (bits >> static_cast<int>(type) & 1u) != 0; }
};

struct CpuConfig {
  std::string_view name;
  CpuKernel kernel;
  Isa isa;
  DTypeSet types;
  RegisterTile tile;
  RowLayout row;      // of kRowDot and kRowBlock
  PanelLayout panel;  // of kPanel, kPairPanel and kDensePanel
  std::string_view why;
};

// The config of a kernel on an instruction set, for activations of a type. Null if there is none.
constexpr const CpuConfig* find_config(std::span<const CpuConfig> configs, CpuKernel kernel,
                                       Isa isa, DType type) {
  for (const CpuConfig& config : configs) {
    if (config.kernel == kernel && config.isa == isa && config.types.has(type)) return &config;
  }
  return nullptr;
}

// How a CUDA kernel cuts its work. K of a stage follows from the operands' types (core/multiply.h):
// `warps_k` times their stage_k, as so many warps share a part of the tile and each has its own
// slice of K (sliced K); their sums are added in the epilogue.
struct CudaTile {
  int m, n;              // of a CTA: rows of A, columns of B
  int warps_m, warps_n;  // how the warps share the CTA's tile
  int num_stages;        // of the ring in shared memory
  int ctas_per_sm;       // whose registers an SM must be able to hold
  int warps_k = 1;

  static constexpr int kLanesPerWarp = 32;
  constexpr int num_warps() const { return warps_m * warps_n * warps_k; }
  constexpr int num_threads() const { return num_warps() * kLanesPerWarp; }
  constexpr int warp_m() const { return m / warps_m; }
  constexpr int warp_n() const { return n / warps_n; }
  // Whether each column of B has threads of its own that copy it: those past N are not read.
  constexpr bool skips_missing_columns() const { return n * kLanesPerColumn <= num_threads(); }
  static constexpr int kLanesPerColumn = 4;  // at least: of 16 bytes of K each
};

struct CudaConfig {
  std::string_view name;
  CudaTile tile;
  std::string_view why;
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

// A kernel that exists: a config for one Multiply and one way to load B, and what a CTA of it
// needs. A row of cuda/sm80/kernels.h.
struct CudaKernel {
  const CudaConfig* config;
  Multiply multiply;
  BLoad b_load;
  int shared_bytes;
  // Issue slots of a warp for one stage, mma included, as counted in SASS (cuda/sm80/issue_slots.h
  // says for which architecture); 0 where not counted.
  int slots_per_stage;
  // Devices from this compute capability on lack registers for it; others of its type suit them.
  int end_capability;
};

inline constexpr int kNoEnd = 1000;

// Logical elements of K in a stage.
constexpr int stage_k_of(const CudaKernel& kernel) {
  return traits_of(kernel.multiply).stage_k * kernel.config->tile.warps_k;
}

// On other devices there is nothing in the kernel.
constexpr bool runs_on(const CudaKernel& kernel, int capability) {
  return is_native(kernel.multiply, capability) && capability < kernel.end_capability;
}

}  // namespace sparse_gemm
