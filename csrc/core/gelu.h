// The part of gelu that both backends share: the tail of the normal distribution.
#pragma once

#include "core/macros.h"

namespace sparse_gemm {

// Phi(-z) = exp(-z^2/2) * t * gelu_tail(t) for z >= 0, with t = 1 / (1 + kGeluTailScale * z);
// relative error 3.3e-8. Fitted for this project: least squares on a dense grid, weights raised
// where the relative error was largest until it was level.
inline constexpr float kGeluTailScale = 0.35f;

SPARSE_GEMM_INLINE constexpr float gelu_tail(float t) {
  float p = -0.029144029f;
  p = p * t + 0.14396326f;
  p = p * t - 0.25569838f;
  p = p * t + 0.15915768f;
  p = p * t - 0.023099517f;
  p = p * t + 0.10550402f;
  p = p * t + 0.11983379f;
  p = p * t + 0.13986175f;
  p = p * t + 0.13962141f;
  return p;
}

}  // namespace sparse_gemm
