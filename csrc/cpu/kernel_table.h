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
#include "cpu/row_block.h"
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
template <>
inline constexpr DType kTypeOf<float8_e4m3> = DType::kFloat8E4M3;
template <>
inline constexpr DType kTypeOf<float8_e5m2> = DType::kFloat8E5M2;
template <>
inline constexpr DType kTypeOf<int4x2> = DType::kInt4x2;

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

// The panel of activations of a type: as pairs where the instruction set has dot products of them.
template <typename Simd, typename Dense,
          bool kPairs = has_config(CpuKernel::kPairPanel, Simd::kIsa, kTypeOf<Dense>)>
struct PanelOf {
  static constexpr CpuKernel kKernel = CpuKernel::kPanel;
  using Type =
      Panel<LanesForm<Simd, Dense>, find_config(kKernel, Simd::kIsa, kTypeOf<Dense>)->tile>;
  template <typename T, bool kScaled>
  using Weights = LaneWeights<Simd, T, Dense, kScaled>;
};
template <typename Simd, typename Dense>
struct PanelOf<Simd, Dense, true> {
  static constexpr CpuKernel kKernel = CpuKernel::kPairPanel;
  using Type = Panel<PairsForm<Simd>, find_config(kKernel, Simd::kIsa, kTypeOf<Dense>)->tile>;
  template <typename T, bool kScaled>
  using Weights = PairWeights<Simd, T, Dense, kScaled>;
};

template <template <typename> typename Simd, typename Element>
constexpr KernelRow many_tokens_row() {
  using Traits = Simd<typename LaneOf<Element>::type>;
  constexpr DType kType = kTypeOf<Element>;
  if constexpr (has_config(CpuKernel::kRowBlock, Traits::kIsa, kType)) {
    constexpr CpuKernel kKernel = CpuKernel::kRowBlock;
    using Kernel =
        RowBlock<TwoRowsForm<Traits, Element>, find_config(kKernel, Traits::kIsa, kType)->tile>;
    return {kKernel, kType, kType, functions_of<Kernel>()};
  } else {
    using Of = PanelOf<Traits, Element>;
    using Kernel = typename Of::Type;
    return {Of::kKernel,
            kType,
            kType,
            {&Kernel::pack, &Kernel::num_pack_tasks,
             &Kernel::template multiply<typename Of::template Weights<Element, false>>}};
  }
}

// Weights of T for activations of another type, with scales of groups or without. Where activations
// are packed as lanes and nothing is rounded to their type, one kernel serves all of them.
template <typename Simd, typename T, typename Dense>
struct WeightOnly {
  static constexpr bool kIsLanes =
      std::is_same_v<typename RowForm<Simd, T, Dense, false>::Packed, typename Simd::Lane>;
  using Multiplied = std::conditional_t<kIsLanes, float, Dense>;
  using Of = PanelOf<Simd, Dense>;

  static void row_dot(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t m_begin,
                      int64_t rows, const void* packed) {
    const auto run = problem.a.group_size == 0 ? &RowDotOf<Simd, T, Multiplied, false>::multiply
                                               : &RowDotOf<Simd, T, Dense, true>::multiply;
    run(problem, plan, tokens, m_begin, rows, packed);
  }
  static void panel(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t m_begin,
                    int64_t rows, const void* packed) {
    using Kernel = typename Of::Type;
    const auto run = problem.a.group_size == 0
                         ? &Kernel::template multiply<typename Of::template Weights<T, false>>
                         : &Kernel::template multiply<typename Of::template Weights<T, true>>;
    run(problem, plan, tokens, m_begin, rows, packed);
  }
};

template <template <typename> typename Simd, typename T, typename Dense>
constexpr KernelRow weight_only_row_dot() {
  using Kernel = RowDotOf<Simd<float>, T, Dense, false>;
  return {CpuKernel::kRowDot,
          kTypeOf<T>,
          kTypeOf<Dense>,
          {&Kernel::pack, &Kernel::num_pack_tasks, &WeightOnly<Simd<float>, T, Dense>::row_dot}};
}
template <template <typename> typename Simd, typename T, typename Dense>
constexpr KernelRow weight_only_panel() {
  using Of = PanelOf<Simd<float>, Dense>;
  using Kernel = typename Of::Type;
  return {Of::kKernel,
          kTypeOf<T>,
          kTypeOf<Dense>,
          {&Kernel::pack, &Kernel::num_pack_tasks, &WeightOnly<Simd<float>, T, Dense>::panel}};
}

template <template <typename> typename Simd>
inline constexpr KernelRow kKernelRows[] = {
    {CpuKernel::kRowDot, DType::kFloat32, DType::kFloat32, row_dot_functions<Simd, float>()},
    {CpuKernel::kRowDot, DType::kFloat16, DType::kFloat16, row_dot_functions<Simd, float16>()},
    {CpuKernel::kRowDot, DType::kBFloat16, DType::kBFloat16, row_dot_functions<Simd, bfloat16>()},
    {CpuKernel::kRowDot, DType::kInt8, DType::kInt8, row_dot_functions<Simd, int8_t>()},
    many_tokens_row<Simd, float>(),
    many_tokens_row<Simd, float16>(),
    many_tokens_row<Simd, bfloat16>(),
    many_tokens_row<Simd, int8_t>(),
    weight_only_row_dot<Simd, int8_t, float>(),
    weight_only_panel<Simd, int8_t, float>(),
    weight_only_row_dot<Simd, int8_t, float16>(),
    weight_only_panel<Simd, int8_t, float16>(),
    weight_only_row_dot<Simd, int8_t, bfloat16>(),
    weight_only_panel<Simd, int8_t, bfloat16>(),
    weight_only_row_dot<Simd, float8_e4m3, float>(),
    weight_only_panel<Simd, float8_e4m3, float>(),
    weight_only_row_dot<Simd, float8_e4m3, float16>(),
    weight_only_panel<Simd, float8_e4m3, float16>(),
    weight_only_row_dot<Simd, float8_e4m3, bfloat16>(),
    weight_only_panel<Simd, float8_e4m3, bfloat16>(),
    weight_only_row_dot<Simd, float8_e5m2, float>(),
    weight_only_panel<Simd, float8_e5m2, float>(),
    weight_only_row_dot<Simd, float8_e5m2, float16>(),
    weight_only_panel<Simd, float8_e5m2, float16>(),
    weight_only_row_dot<Simd, float8_e5m2, bfloat16>(),
    weight_only_panel<Simd, float8_e5m2, bfloat16>(),
    weight_only_row_dot<Simd, int4x2, float>(),
    weight_only_panel<Simd, int4x2, float>(),
    weight_only_row_dot<Simd, int4x2, float16>(),
    weight_only_panel<Simd, int4x2, float16>(),
    weight_only_row_dot<Simd, int4x2, bfloat16>(),
    weight_only_panel<Simd, int4x2, bfloat16>(),
};

}  // namespace sparse_gemm::cpu
