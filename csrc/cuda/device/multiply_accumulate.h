// mma.sp by Multiply: which instruction a row of kMultiplies is, and what it accumulates in.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/multiply.h"
#include "cuda/ptx/mma_sp.h"

namespace sparse_gemm::cuda {

// Of 16 by 8 sums a lane has four: floats, int32, or pairs of fp16.
template <Multiply kMultiply>
using AccumulatorWord = std::conditional_t<
    traits_of(kMultiply).accumulator == DType::kFloat32, float,
    std::conditional_t<traits_of(kMultiply).accumulator == DType::kInt32, int32_t, uint32_t>>;

template <Multiply kMultiply>
inline constexpr int kAccumulatorWords =
    traits_of(kMultiply).accumulator == DType::kFloat16 ? 2 : 4;

template <Multiply kMultiply>
using Accumulator = AccumulatorWord<kMultiply>[kAccumulatorWords<kMultiply>];

template <Multiply kMultiply, int kSelector>
__device__ __forceinline__ void multiply_accumulate(Accumulator<kMultiply>& d, const uint4& a,
                                                    const uint32_t (&b)[4], uint32_t e) {
  constexpr MultiplyTraits kTraits = traits_of(kMultiply);
  constexpr DType kA = kTraits.weight_only ? kTraits.b : kTraits.a;  // as the instruction sees it
  if constexpr (kMultiply == Multiply::kF16AccF16) {
    ptx::mma_sp_m16n8k32_f16_f16_f16_f16<kSelector>(d, a, b, e);
  } else if constexpr (kA == DType::kFloat16) {
    ptx::mma_sp_m16n8k32_f32_f16_f16_f32<kSelector>(d, a, b, e);
  } else if constexpr (kA == DType::kBFloat16) {
    ptx::mma_sp_m16n8k32_f32_bf16_bf16_f32<kSelector>(d, a, b, e);
  } else if constexpr (kMultiply == Multiply::kTF32) {
    ptx::mma_sp_m16n8k16_f32_tf32_tf32_f32<kSelector>(d, a, b, e);
  } else if constexpr (kMultiply == Multiply::kS8 || kMultiply == Multiply::kS4AsS8) {
    ptx::mma_sp_m16n8k64_s32_s8_s8_s32<kSelector>(d, a, b, e);
  } else if constexpr (kMultiply == Multiply::kS4) {
    ptx::mma_sp_m16n8k128_s32_s4_s4_s32<kSelector>(d, a, b, e);
  } else if constexpr (kMultiply == Multiply::kE4M3) {
    ptx::mma_sp_m16n8k64_f32_e4m3_e4m3_f32<kSelector>(d, a, b, e);
  } else if constexpr (kMultiply == Multiply::kE4M3E5M2) {
    ptx::mma_sp_m16n8k64_f32_e4m3_e5m2_f32<kSelector>(d, a, b, e);
  } else if constexpr (kMultiply == Multiply::kE5M2E4M3) {
    ptx::mma_sp_m16n8k64_f32_e5m2_e4m3_f32<kSelector>(d, a, b, e);
  } else {
    static_assert(kMultiply == Multiply::kE5M2, "each row has its instruction");
    ptx::mma_sp_m16n8k64_f32_e5m2_e5m2_f32<kSelector>(d, a, b, e);
  }
}

}  // namespace sparse_gemm::cuda
