// SIMD traits for AVX-512 with BF16, VBMI, VBMI2 and VNNI (Zen 4, Sapphire Rapids and later): those
// of AVX-512, and dot products of pairs and quads.
#pragma once

#include "cpu/simd_avx512.h"

namespace sparse_gemm::cpu {

template <typename LaneType>
struct Avx512Bf16 : Avx512<LaneType> {
  static constexpr Isa kIsa = Isa::kAvx512Bf16;
};

}  // namespace sparse_gemm::cpu
