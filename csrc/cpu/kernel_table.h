// The table of an instruction set's kernels, built from the configs. Included by the isa_*.cpp
// files alone, each of which is compiled with its own flags: whatever has code of its own in an
// optimised build is a template over the SIMD traits, so that no file's function stands in for
// another's.
#pragma once

#include <type_traits>

#include "core/numeric.h"
#include "cpu/configs.h"
#include "cpu/kernel.h"
#include "cpu/panel.h"
#include "cpu/panel_lanes.h"
#include "cpu/panel_pairs.h"
#include "cpu/panel_weights.h"
#include "cpu/row_dot.h"

namespace sparse_gemm::cpu {

template <typename Element>
inline constexpr DType kTypeOf = DType::kFloat32;
template <>
inline constexpr DType kTypeOf<float16> = DType::kFloat16;
template <>
inline constexpr DType kTypeOf<bfloat16> = DType::kBFloat16;
template <>
inline constexpr DType kTypeOf<int8_t> = DType::kInt8;

template <typename Kernel>
constexpr KernelFunctions functions_of() {
  return {&Kernel::pack, &Kernel::num_pack_tasks, &Kernel::multiply};
}

template <typename Simd, typename T, typename Dense, bool kScaled>
using RowDotOf = RowDot<RowForm<Simd, T, Dense, kScaled>,
                        find_config(CpuKernel::kRowDot, Simd::kIsa, kTypeOf<Dense>)->tile>;

template <template <typename> typename Simd, typename Element>
constexpr KernelFunctions row_dot_functions() {
  return functions_of<RowDotOf<Simd<typename LaneOf<Element>::type>, Element, Element, false>>();
}

// Weights of T for activations of another type, with scales of groups or without. Where activations
// are packed as lanes and nothing is rounded to their type, one kernel serves all of them.
template <typename Simd, typename T, typename Dense>
struct WeightOnlyRowDot : RowDotOf<Simd, T, Dense, false> {
  using Packed = typename RowForm<Simd, T, Dense, false>::Packed;
  using Multiplied = std::conditional_t<std::is_same_v<Packed, typename Simd::Lane>, float, Dense>;

  static void multiply(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t m_begin,
                       int64_t rows, const void* packed) {
    const auto run = problem.a.group_size == 0 ? &RowDotOf<Simd, T, Multiplied, false>::multiply
                                               : &RowDotOf<Simd, T, Dense, true>::multiply;
    run(problem, plan, tokens, m_begin, rows, packed);
  }
};

template <template <typename> typename Simd, typename T, typename Dense>
constexpr KernelFunctions weight_only_functions() {
  return functions_of<WeightOnlyRowDot<Simd<float>, T, Dense>>();
}

template <typename Panel, typename Weights>
constexpr KernelFunctions panel_functions_of() {
  return {&Panel::pack, &Panel::num_pack_tasks, &Panel::template multiply<Weights>};
}

template <typename Simd, typename Dense>
using LanesPanel =
    Panel<LanesForm<Simd, Dense>, find_config(CpuKernel::kPanel, Simd::kIsa, kTypeOf<Dense>)->tile>;

// As pairs where the instruction set has dot products of them.
template <template <typename> typename Simd, typename Element>
constexpr KernelRow panel_row() {
  using Traits = Simd<typename LaneOf<Element>::type>;
  constexpr DType kType = kTypeOf<Element>;
  if constexpr (has_config(CpuKernel::kPairPanel, Traits::kIsa, kType)) {
    using Pairs = Panel<PairsForm<Traits, Element>,
                        find_config(CpuKernel::kPairPanel, Traits::kIsa, kType)->tile>;
    return {CpuKernel::kPairPanel, kType, kType, panel_functions_of<Pairs, PairWeights<Element>>()};
  } else {
    using Weights = LaneWeights<Traits, Element, Element, false>;
    return {CpuKernel::kPanel, kType, kType,
            panel_functions_of<LanesPanel<Traits, Element>, Weights>()};
  }
}

template <template <typename> typename Simd>
inline constexpr KernelRow kKernelRows[] = {
    {CpuKernel::kRowDot, DType::kFloat32, DType::kFloat32, row_dot_functions<Simd, float>()},
    {CpuKernel::kRowDot, DType::kFloat16, DType::kFloat16, row_dot_functions<Simd, float16>()},
    {CpuKernel::kRowDot, DType::kBFloat16, DType::kBFloat16, row_dot_functions<Simd, bfloat16>()},
    {CpuKernel::kRowDot, DType::kInt8, DType::kInt8, row_dot_functions<Simd, int8_t>()},
    panel_row<Simd, float>(),
    panel_row<Simd, float16>(),
    panel_row<Simd, bfloat16>(),
    panel_row<Simd, int8_t>(),
    {CpuKernel::kRowDot, DType::kInt8, DType::kFloat32,
     weight_only_functions<Simd, int8_t, float>()},
    {CpuKernel::kRowDot, DType::kInt8, DType::kFloat16,
     weight_only_functions<Simd, int8_t, float16>()},
    {CpuKernel::kRowDot, DType::kInt8, DType::kBFloat16,
     weight_only_functions<Simd, int8_t, bfloat16>()},
    {CpuKernel::kRowDot, DType::kFloat8E4M3, DType::kFloat32,
     weight_only_functions<Simd, float8_e4m3, float>()},
    {CpuKernel::kRowDot, DType::kFloat8E4M3, DType::kFloat16,
     weight_only_functions<Simd, float8_e4m3, float16>()},
    {CpuKernel::kRowDot, DType::kFloat8E4M3, DType::kBFloat16,
     weight_only_functions<Simd, float8_e4m3, bfloat16>()},
    {CpuKernel::kRowDot, DType::kFloat8E5M2, DType::kFloat32,
     weight_only_functions<Simd, float8_e5m2, float>()},
    {CpuKernel::kRowDot, DType::kFloat8E5M2, DType::kFloat16,
     weight_only_functions<Simd, float8_e5m2, float16>()},
    {CpuKernel::kRowDot, DType::kFloat8E5M2, DType::kBFloat16,
     weight_only_functions<Simd, float8_e5m2, bfloat16>()},
    {CpuKernel::kRowDot, DType::kInt4x2, DType::kFloat32,
     weight_only_functions<Simd, int4x2, float>()},
    {CpuKernel::kRowDot, DType::kInt4x2, DType::kFloat16,
     weight_only_functions<Simd, int4x2, float16>()},
    {CpuKernel::kRowDot, DType::kInt4x2, DType::kBFloat16,
     weight_only_functions<Simd, int4x2, bfloat16>()},
};

}  // namespace sparse_gemm::cpu
