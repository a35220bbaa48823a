// The table of an instruction set's kernels, built from the configs. Included by the isa_*.cpp
// files alone, each of which is compiled with its own flags: whatever has code of its own in an
// optimised build is a template over the SIMD traits, so that no file's function stands in for
// another's.
#pragma once

#include "core/numeric.h"
#include "cpu/configs.h"
#include "cpu/kernel.h"
#include "cpu/panel.h"
#include "cpu/row_dot.h"

namespace sparse_gemm::cpu {

template <typename Kernel>
constexpr KernelFunctions functions_of() {
  return {&Kernel::pack, &Kernel::num_pack_tasks, &Kernel::multiply};
}

template <template <typename> typename Simd, typename Element>
constexpr KernelFunctions row_dot_functions() {
  using Traits = Simd<typename LaneOf<Element>::type>;
  return functions_of<RowDot<Traits, Element, register_tile(CpuKernel::kRowDot, Traits::kIsa)>>();
}

template <template <typename> typename Simd, typename Element>
constexpr KernelFunctions panel_functions() {
  using Traits = Simd<typename LaneOf<Element>::type>;
  return functions_of<Panel<Traits, Element, register_tile(CpuKernel::kPanel, Traits::kIsa)>>();
}

template <template <typename> typename Simd>
inline constexpr KernelRow kKernelRows[] = {
    {CpuKernel::kRowDot, DType::kFloat32, row_dot_functions<Simd, float>()},
    {CpuKernel::kRowDot, DType::kFloat16, row_dot_functions<Simd, float16>()},
    {CpuKernel::kRowDot, DType::kBFloat16, row_dot_functions<Simd, bfloat16>()},
    {CpuKernel::kRowDot, DType::kInt8, row_dot_functions<Simd, int8_t>()},
    {CpuKernel::kPanel, DType::kFloat32, panel_functions<Simd, float>()},
    {CpuKernel::kPanel, DType::kFloat16, panel_functions<Simd, float16>()},
    {CpuKernel::kPanel, DType::kBFloat16, panel_functions<Simd, bfloat16>()},
    {CpuKernel::kPanel, DType::kInt8, panel_functions<Simd, int8_t>()},
};

}  // namespace sparse_gemm::cpu
