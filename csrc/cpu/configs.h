// Every CPU kernel that exists: one row each, and why it looks as it does.
#pragma once

#include <algorithm>

#include "core/kernel_config.h"

namespace sparse_gemm::cpu {

inline constexpr DTypeSet kAllTypes = {DType::kFloat32, DType::kFloat16, DType::kBFloat16,
                                       DType::kInt8};

// row_dot on 32-bit lanes: beyond 16 tokens a vector of them does more for each weight.
inline constexpr RowLayout kLanes = {.element_bytes = 4, .max_tokens = 16};

// Of 512 bits: a panel of two vectors takes as long with a token as with 32.
inline constexpr RowLayout kWideLanes = {.element_bytes = 4, .max_tokens = 24};

// Packed activations of a panel of 32-bit lanes: the four rows of a group.
constexpr PanelLayout lane_layout(int lanes) {
  return {.group_bytes = 4 * 4 * lanes, .step_groups = 2, .step_vectors = 1, .max_groups = 48};
}

// Of bfloat16's four positions: streams of 16 bits a token.
constexpr PanelLayout pair_layout(int lanes) {
  return {.group_bytes = 4 * 2 * lanes, .step_groups = 4, .step_vectors = 2, .max_groups = 96};
}

inline constexpr CpuConfig kConfigs[] = {
    {"row_dot_portable",
     CpuKernel::kRowDot,
     Isa::kPortable,
     kAllTypes,
     {4, 2, 4},
     kLanes,
     {},
     "8 accumulators of 128 bits: all that 16 registers leave beside weights and indices"},
    {"panel_portable",
     CpuKernel::kPanel,
     Isa::kPortable,
     kAllTypes,
     {4, 2, 4},
     {},
     lane_layout(4),
     "8 independent multiply-add chains hide the latency of a multiply and an add"},
    {"row_dot_avx2",
     CpuKernel::kRowDot,
     Isa::kAvx2,
     kAllTypes,
     {8, 2, 4},
     kLanes,
     {},
     "8 accumulators of 256 bits: all that 16 registers leave beside weights and indices"},
    {"panel_avx2",
     CpuKernel::kPanel,
     Isa::kAvx2,
     kAllTypes,
     {8, 2, 4},
     {},
     lane_layout(8),
     "8 FMA chains: 4 cycles of latency on two ports"},
    {"row_dot_avx512",
     CpuKernel::kRowDot,
     Isa::kAvx512,
     kAllTypes,
     {16, 4, 4},
     kWideLanes,
     {},
     "16 accumulators: four rows share each load of the activations from L1"},
    {"panel_avx512",
     CpuKernel::kPanel,
     Isa::kAvx512,
     kAllTypes,
     {16, 2, 4, 8},
     {},
     lane_layout(16),
     "8 FMA chains; four vectors of tokens share each broadcast weight"},
    {"row_dot_bf16_avx512_bf16",
     CpuKernel::kRowDot,
     Isa::kAvx512Bf16,
     {DType::kBFloat16},
     {16, 4, 4},
     {.element_bytes = 2, .max_tokens = 32},
     {},
     "16 accumulators of vdpbf16ps, each 32 kept values: activations are permuted as pairs"},
    {"row_dot_int8_avx512_vnni",
     CpuKernel::kRowDot,
     Isa::kAvx512Vnni,
     {DType::kInt8},
     {16, 4, 4},
     {.element_bytes = 1, .max_tokens = 16},
     {},
     "16 accumulators of vpdpbusd, each 64 kept values"},
    {"pair_panel_bf16_avx512_bf16",
     CpuKernel::kPairPanel,
     Isa::kAvx512Bf16,
     {DType::kBFloat16},
     {16, 2, 8},
     {},
     pair_layout(16),
     "16 chains of vdpbf16ps, each a group, whose two streams are interleaved in registers"},
    {"row_block_int8_avx512_vnni",
     CpuKernel::kRowBlock,
     Isa::kAvx512Vnni,
     {DType::kInt8},
     {16, 8, 4},
     {.element_bytes = 1},
     {},
     "16 chains of vpdpbusd, each two rows: positions serve all tokens, a permutation two rows"},
    {"dense_panel_int8_avx512_vnni",
     CpuKernel::kDensePanel,
     Isa::kAvx512Vnni,
     {DType::kInt8},
     {16, 4, 4, 16},
     {},
     {.group_bytes = 4 * 16, .step_groups = 16, .step_vectors = 1, .max_groups = kDensePanelGroups},
     "16 chains of vpdpbusd, each a group: four loads and four broadcasts for 16 products"},
};

constexpr const CpuConfig* find_config(CpuKernel kernel, Isa isa, DType type) {
  return sparse_gemm::find_config(kConfigs, kernel, isa, type);
}

// Under its sanitizer for undefined behaviour, GCC takes no comparison of find_config with null for
// constant.
constexpr bool has_config(CpuKernel kernel, Isa isa, DType type) {
  return std::ranges::any_of(kConfigs, [&](const CpuConfig& config) {
    return config.kernel == kernel && config.isa == isa && config.types.has(type);
  });
}

}  // namespace sparse_gemm::cpu
