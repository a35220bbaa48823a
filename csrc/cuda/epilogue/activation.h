// Activations in float, without branches. nan stays nan.
#pragma once

#include "core/gelu.h"
#include "core/problem.h"

namespace sparse_gemm::cuda {

__device__ __forceinline__ float relu(float x) {
  return x < 0.0f ? 0.0f : x;
}

__device__ __forceinline__ float silu(float x) {
  return x / (1.0f + expf(-x));
}

// x * Phi(x), Phi the normal distribution, from its tail, which so keeps its precision. CUDA's
// normcdff does too, but branches on every value.
__device__ __forceinline__ float gelu(float x) {
  const float z = fabsf(x);
  const float t = 1.0f / (1.0f + kGeluTailScale * z);
  const float tail = expf(-0.5f * z * z) * t * gelu_tail(t);  // Phi(-z)
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

// 0.5 x (1 + tanh(u)) with u = sqrt(2/pi) (x + 0.044715 x^3), written as x / (1 + e^(-2u)).
__device__ __forceinline__ float gelu_tanh(float x) {
  constexpr float kTwoSqrtTwoOverPi = 1.5957691216f;
  const float u2 = kTwoSqrtTwoOverPi * (x + 0.044715f * x * x * x);
  return x / (1.0f + expf(-u2));
}

__device__ __forceinline__ float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kRelu:
      return relu(x);
    case Activation::kGelu:
      return gelu(x);
    case Activation::kGeluTanh:
      return gelu_tanh(x);
    case Activation::kSilu:
      return silu(x);
    default:
      return x;
  }
}

}  // namespace sparse_gemm::cuda
