// The kernels of one instruction set, as a launcher sees them.
#pragma once

#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "core/plan.h"
#include "core/problem.h"

namespace sparse_gemm::cpu {

inline constexpr int kGroupSize = traits_of(Pattern::k2of4).group_size;

// A span of tokens (columns of B and D) that is packed, then multiplied.
struct TokenSpan {
  int64_t begin;
  int64_t count;
};

// Pointers to the instances for one kernel and pair of types. `packed` is the workspace:
// activations laid out as the kernel reads them.
struct KernelFunctions {
  // Packs part `task` of `num_pack_tasks` of the tokens' activations.
  void (*pack)(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t task,
               void* packed);
  // How many pack tasks there are.
  int64_t (*num_pack_tasks)(const Problem& problem, const Plan& plan, TokenSpan tokens);
  // Computes rows [m_begin, m_begin + rows) of D for the tokens, epilogue included.
  void (*multiply)(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t m_begin,
                   int64_t rows, const void* packed);
};

// One row for each kernel and type of weights that an instruction set has.
struct KernelRow {
  CpuKernel kernel;
  DType a;  // how weights are stored
  KernelFunctions functions;
};

// Those for activations of a type.
std::span<const KernelRow> portable_kernels(DType activations);
std::span<const KernelRow> avx2_kernels(DType activations);
std::span<const KernelRow> avx512_kernels(DType activations);
std::span<const KernelRow> avx512_vnni_kernels(DType activations);
std::span<const KernelRow> avx512_bf16_kernels(DType activations);

}  // namespace sparse_gemm::cpu
