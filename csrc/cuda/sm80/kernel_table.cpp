#include "cuda/sm80/kernel_table.h"

#include "cuda/sm80/issue_slots.h"
#include "cuda/sm80/kernels.h"

namespace sparse_gemm::cuda::sm80 {
namespace {

// 0, as nobody has counted them, where B takes one of several ways, or for a new kernel.
constexpr int slots_of(const CudaKernel& kernel) {
  for (const IssueSlots& row : kIssueSlots) {
    if (kernel.b_load == BLoad::kAligned && kernel.config->name == row.config &&
        name_of(kernel.multiply) == row.multiply) {
      return row.slots;
    }
  }
  return 0;
}

constexpr auto with_slots() {
  auto kernels = kKernels;
  for (CudaKernel& kernel : kernels) kernel.slots_per_stage = slots_of(kernel);
  return kernels;
}

constexpr auto kTable = with_slots();

}  // namespace

std::span<const CudaKernel> kernel_table() {
  return kTable;
}

}  // namespace sparse_gemm::cuda::sm80
