#include "cpu/launch.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <string>

#include "core/huge_pages.h"
#include "core/parallel.h"
#include "cpu/kernel.h"

namespace sparse_gemm::cpu {
namespace {

constexpr std::align_val_t kCacheLine{64};

struct AlignedDelete {
  void operator()(std::byte* pointer) const { ::operator delete(pointer, kCacheLine); }
};

std::span<const KernelRow> kernels_of(Isa isa, DType activations) {
#if SPARSE_GEMM_X86
  if (isa == Isa::kAvx512Bf16) return avx512_bf16_kernels(activations);
  if (isa == Isa::kAvx512Vnni) return avx512_vnni_kernels(activations);
  if (isa == Isa::kAvx512) return avx512_kernels(activations);
  if (isa == Isa::kAvx2) return avx2_kernels(activations);
#endif
  (void)isa;
  return portable_kernels(activations);
}

const KernelFunctions* find_kernel(const CpuConfig& config, const Problem& problem) {
  const std::span<const KernelRow> rows = kernels_of(config.isa, problem.b.dtype);
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const KernelRow& candidate) {
    return candidate.kernel == config.kernel && candidate.a == problem.a.dtype;
  });
  return row == rows.end() ? nullptr : &row->functions;
}

// Where D has no gaps: a large one is fresh memory, most likely.
void prefer_huge_pages_for(const Problem& problem) {
  const DenseOperand& d = problem.d;
  const bool is_row_major = d.col_stride == 1 && d.row_stride == problem.n;
  const bool is_column_major = d.row_stride == 1 && d.col_stride == problem.m;
  if (!is_row_major && !is_column_major) return;
  prefer_huge_pages(d.data, static_cast<size_t>(problem.m * problem.n * bytes_of(d.dtype)));
}

}  // namespace

Status launch(const Problem& problem, const Plan& plan) {
  const KernelFunctions* kernel = find_kernel(*plan.config, problem);
  if (kernel == nullptr) {
    return Status::unsupported("no CPU kernel for " + std::string(name_of(problem.a.dtype)) +
                               " times " + std::string(name_of(problem.b.dtype)));
  }
  const std::unique_ptr<std::byte, AlignedDelete> packed(static_cast<std::byte*>(
      ::operator new(static_cast<size_t>(plan.workspace_bytes), kCacheLine, std::nothrow)));
  if (packed == nullptr) {
    return Status::out_of_memory(std::to_string(plan.workspace_bytes) +
                                 " bytes for packed activations could not be had");
  }
  prefer_huge_pages_for(problem);
  const int64_t span_bytes = plan.workspace_bytes / plan.num_spans;
  const auto span_of = [&](int64_t n) {
    return TokenSpan{n, std::min(plan.tile_n, problem.n - n)};
  };
  for (int64_t begin = 0; begin < problem.n; begin += plan.num_spans * plan.tile_n) {
    const int64_t spans = std::min(plan.num_spans, ceil_div(problem.n - begin, plan.tile_n));
    const int64_t pack_tasks = kernel->num_pack_tasks(problem, plan, span_of(begin));
    parallel_for(spans * pack_tasks, plan.num_pack_threads, [&](int64_t task) {
      const int64_t span = task / pack_tasks;
      const TokenSpan tokens = span_of(begin + span * plan.tile_n);
      if (task % pack_tasks >= kernel->num_pack_tasks(problem, plan, tokens)) return;
      kernel->pack(problem, plan, tokens, task % pack_tasks, packed.get() + span * span_bytes);
    });
    parallel_for(spans * plan.num_tasks, plan.num_threads, [&](int64_t task) {
      const int64_t span = task / plan.num_tasks;
      const int64_t m = task % plan.num_tasks * plan.tile_m;
      kernel->multiply(problem, plan, span_of(begin + span * plan.tile_n), m,
                       std::min(plan.tile_m, problem.m - m), packed.get() + span * span_bytes);
    });
  }
  return Status::ok();
}

}  // namespace sparse_gemm::cpu
