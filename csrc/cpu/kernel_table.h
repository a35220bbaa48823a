// The rows of an instruction set's table of kernels, built from the configs. Included by the
// isa_*.cpp files alone, each of which is compiled with its own flags: whatever has code of its own
// in an optimised build is a template over the SIMD traits, so that no file's function stands in
// for another's.
#pragma once

#include <span>
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

template <typename Simd, typename Element>
constexpr KernelRow row_dot_row() {
  return {CpuKernel::kRowDot, kTypeOf<Element>,
          functions_of<RowDotOf<Simd, Element, Element, false>>()};
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

template <typename Simd, typename Element>
constexpr KernelRow panel_row() {
  using Of = PanelOf<Simd, Element>;
  using Kernel = typename Of::Type;
  constexpr auto kMultiply =
      &Kernel::template multiply<typename Of::template Weights<Element, false>>;
  return {Of::kKernel, kTypeOf<Element>, {&Kernel::pack, &Kernel::num_pack_tasks, kMultiply}};
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

template <typename Simd, typename T, typename Dense>
constexpr KernelRow weight_only_row_dot() {
  using Kernel = RowDotOf<Simd, T, Dense, false>;
  return {CpuKernel::kRowDot,
          kTypeOf<T>,
          {&Kernel::pack, &Kernel::num_pack_tasks, &WeightOnly<Simd, T, Dense>::row_dot}};
}
template <typename Simd, typename T, typename Dense>
constexpr KernelRow weight_only_panel() {
  using Of = PanelOf<Simd, Dense>;
  using Kernel = typename Of::Type;
  return {Of::kKernel,
          kTypeOf<T>,
          {&Kernel::pack, &Kernel::num_pack_tasks, &WeightOnly<Simd, T, Dense>::panel}};
}

// All that multiplies floating-point activations of a type.
template <typename Simd, typename Dense>
inline constexpr KernelRow kFloatRows[] = {
    row_dot_row<Simd, Dense>(),
    panel_row<Simd, Dense>(),
    weight_only_row_dot<Simd, int8_t, Dense>(),
    weight_only_panel<Simd, int8_t, Dense>(),
    weight_only_row_dot<Simd, float8_e4m3, Dense>(),
    weight_only_panel<Simd, float8_e4m3, Dense>(),
    weight_only_row_dot<Simd, float8_e5m2, Dense>(),
    weight_only_panel<Simd, float8_e5m2, Dense>(),
    weight_only_row_dot<Simd, int4x2, Dense>(),
    weight_only_panel<Simd, int4x2, Dense>(),
};

// int8 by int8 on 32-bit lanes.
template <typename Simd>
inline constexpr KernelRow kInt8Rows[] = {
    row_dot_row<Simd, int8_t>(),
    panel_row<Simd, int8_t>(),
};

// The rows of an instruction set that has 32-bit lanes for every type.
template <template <typename> typename Simd>
SPARSE_GEMM_INLINE std::span<const KernelRow> lane_kernels(DType activations) {
  switch (activations) {
    case DType::kFloat32:
      return kFloatRows<Simd<float>, float>;
    case DType::kFloat16:
      return kFloatRows<Simd<float>, float16>;
    case DType::kBFloat16:
      return kFloatRows<Simd<float>, bfloat16>;
    case DType::kInt8:
      return kInt8Rows<Simd<int32_t>>;
    default:
      return {};
  }
}

}  // namespace sparse_gemm::cpu
