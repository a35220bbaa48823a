// static_for: a loop whose index is a constant in its body.
#pragma once

#include <type_traits>
#include <utility>

namespace sparse_gemm::cuda {

template <int... kIndex, typename Body>
__device__ __forceinline__ void static_for(std::integer_sequence<int, kIndex...>, Body body) {
  (body(std::integral_constant<int, kIndex>{}), ...);
}

// body(std::integral_constant<int, i>) for i = 0 to kCount - 1.
template <int kCount, typename Body>
__device__ __forceinline__ void static_for(Body body) {
  static_for(std::make_integer_sequence<int, kCount>{}, body);
}

}  // namespace sparse_gemm::cuda
