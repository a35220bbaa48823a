// What each of the files of sm80/kernel_families.h is made of: instances of gemm_kernel.
#pragma once

#include <array>
#include <utility>

#include "cuda/sm80/gemm_kernel.h"
#include "cuda/sm80/kernel_families.h"

namespace sparse_gemm::cuda::sm80 {

template <int kRow, Multiply... kFamily>
constexpr Kernel instance() {
  if constexpr (((kMultiplyOf<kRow> == kFamily) || ...)) {
    return &gemm_kernel<kRow>;
  } else {
    return nullptr;
  }
}

// By row of kKernels; null where the row's Multiply is not in the family.
template <Multiply... kFamily, int... kRow>
constexpr std::array<Kernel, sizeof...(kRow)> instances(std::integer_sequence<int, kRow...>) {
  return {instance<kRow, kFamily...>()...};
}
template <Multiply... kFamily>
inline constexpr auto kInstances =
    instances<kFamily...>(std::make_integer_sequence<int, kNumKernels>{});

}  // namespace sparse_gemm::cuda::sm80
