#include "cpu/dense_panel.h"
#include "cpu/kernel_table.h"
#include "cpu/row_block.h"
#include "cpu/row_forms_avx512_vnni.h"
#include "cpu/simd_avx512_vnni.h"

namespace sparse_gemm::cpu {
namespace {

using Simd = Avx512Vnni<int32_t>;

template <CpuKernel kKernel>
constexpr RegisterTile kTileOf = find_config(kKernel, Simd::kIsa, DType::kInt8)->tile;

constexpr KernelRow kRows[] = {
    row_dot_row<Simd, int8_t>(),
    {CpuKernel::kRowBlock, DType::kInt8,
     functions_of<RowBlock<TwoRowsForm<Simd, int8_t>, kTileOf<CpuKernel::kRowBlock>>>()},
    {CpuKernel::kDensePanel, DType::kInt8,
     functions_of<DensePanel<QuadsForm<Simd, int8_t>, kTileOf<CpuKernel::kDensePanel>>>()},
};

}  // namespace

// Of int8 by int8 alone: for other types VNNI has nothing.
std::span<const KernelRow> avx512_vnni_kernels(DType activations) {
  if (activations != DType::kInt8) return {};
  return kRows;
}

}  // namespace sparse_gemm::cpu
