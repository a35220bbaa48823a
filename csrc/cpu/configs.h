// Every CPU kernel that exists: one row each, and why it looks as it does.
#pragma once

#include "core/kernel_config.h"

namespace sparse_gemm::cpu {

inline constexpr CpuConfig kConfigs[] = {
    {"row_dot_portable",
     CpuKernel::kRowDot,
     Isa::kPortable,
     {4, 2, 4},
     "8 accumulators of 128 bits: all that 16 registers leave beside weights and indices"},
    {"panel_portable",
     CpuKernel::kPanel,
     Isa::kPortable,
     {4, 2, 4},
     "8 independent multiply-add chains hide the latency of a multiply and an add"},
    {"row_dot_avx2",
     CpuKernel::kRowDot,
     Isa::kAvx2,
     {8, 2, 4},
     "8 accumulators of 256 bits: all that 16 registers leave beside weights and indices"},
    {"panel_avx2",
     CpuKernel::kPanel,
     Isa::kAvx2,
     {8, 2, 4},
     "8 FMA chains: 4 cycles of latency on two ports"},
    {"row_dot_avx512",
     CpuKernel::kRowDot,
     Isa::kAvx512,
     {16, 4, 4},
     "16 accumulators: four rows share each load of the activations from L1"},
    {"panel_avx512",
     CpuKernel::kPanel,
     Isa::kAvx512,
     {16, 4, 4},
     "16 FMA chains; four vectors of tokens share each broadcast weight"},
    {"row_dot_avx512_bf16",
     CpuKernel::kRowDot,
     Isa::kAvx512Bf16,
     {16, 4, 4},
     "16 accumulators: four rows share each load of the activations from L1"},
    {"panel_avx512_bf16",
     CpuKernel::kPanel,
     Isa::kAvx512Bf16,
     {16, 4, 4},
     "16 FMA chains; four vectors of tokens share each broadcast weight"},
};

constexpr RegisterTile register_tile(CpuKernel kernel, Isa isa) {
  for (const CpuConfig& config : kConfigs) {
    if (config.kernel == kernel && config.isa == isa) return config.tile;
  }
  return {};
}

}  // namespace sparse_gemm::cpu
