// Activations as branch-free scalar code that a compiler turns into vectors.
//
// The polynomial of exp_approx was fitted for this file, as that of core/gelu.h. Stated errors are
// of the exact polynomial.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/gelu.h"
#include "core/macros.h"

namespace sparse_gemm::cpu {

// e^x. 2^n * e^r with |r| <= ln(2)/2; e^r = 1 + r + r^2 q(r), relative error 3e-9. Below -87 the
// result stays at e^-87, above 88.4 it is infinity; nan gives nan.
SPARSE_GEMM_INLINE float exp_approx(float x) {
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLn2High = 0x1.62e4p-1f;  // few bits, so that n * kLn2High is exact
  constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  constexpr float kRoundToInteger = 0x1.8p23f;  // adding it leaves an integer in the low bits
  x = x > 89.0f ? 89.0f : x;
  x = x < -87.0f ? -87.0f : x;
  const float shifted = x * kLog2E + kRoundToInteger;
  const float n = shifted - kRoundToInteger;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  const float q = 0.49999994f +
                  r * (0.16666521f + r * (0.041668389f + r * (0.0083687110f + r * 0.0013814525f)));
  // 2^n: the low bits of `shifted` are n, moved into the exponent field.
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) << 23) + (127u << 23);
  return (1.0f + (r + r * r * q)) * std::bit_cast<float>(exponent);
}

SPARSE_GEMM_INLINE float relu(float x) {
  return x < 0.0f ? 0.0f : x;
}  // nan stays nan

SPARSE_GEMM_INLINE float silu(float x) {
  return x / (1.0f + exp_approx(-x));
}

// x * Phi(x), Phi the normal distribution, from its tail, which so keeps its precision.
SPARSE_GEMM_INLINE float gelu(float x) {
  const float z = std::fabs(x);
  const float t = 1.0f / (1.0f + kGeluTailScale * z);
  const float tail = exp_approx(-0.5f * z * z) * t * gelu_tail(t);  // Phi(-z)
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

// 0.5 x (1 + tanh(u)) with u = sqrt(2/pi) (x + 0.044715 x^3), written as x / (1 + e^(-2u)).
SPARSE_GEMM_INLINE float gelu_tanh(float x) {
  constexpr float kTwoSqrtTwoOverPi = 1.5957691216f;
  const float u2 = kTwoSqrtTwoOverPi * (x + 0.044715f * x * x * x);
  return x / (1.0f + exp_approx(-u2));
}

}  // namespace sparse_gemm::cpu
