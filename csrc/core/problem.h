// Problem: one multiplication, as every room below ops.py sees it. The ONE definition of M, N, K:
//
//   D[M,N] = silu(gate[M,N]) * act(alpha * scale_m[M] * scale_n[N] * (A[M,K] @ B[K,N]) + bias[M])
//            + beta * C[M,N]
//
// A is the sparse operand. M = rows of A and of D (out_features), N = columns of B and of D
// (tokens), K = the logical reduction length (in_features), never halved. Terms whose pointer is
// null are left out. Accumulation is in float for floating-point operands, in int32 for int8.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/pattern.h"

namespace sparse_gemm {

enum class Activation : uint8_t { kNone, kRelu, kGelu, kGeluTanh, kSilu };

inline constexpr int kNumActivations = 5;

// A in canonical storage, contiguous and row-major, or for a CUDA device in packed storage
// (docs/format.md).
struct SparseOperand {
  const void* values = nullptr;
  const uint8_t* metadata = nullptr;
  DType dtype = DType::kFloat32;
  Pattern pattern = Pattern::k2of4;
  // Scales of groups of `group_size` elements of K of a row, 16-bit floats; null if there are none.
  const void* group_scales = nullptr;
  DType group_scale_dtype = DType::kFloat16;
  int group_size = 0;
  bool is_batched = false;  // one matrix after another; else the same for the whole batch
};

// Element (row, col) lies at data + row * row_stride + col * col_stride, strides in elements.
// A null `data` means that the operand is absent.
struct DenseOperand {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t row_stride = 0;
  int64_t col_stride = 0;
  int64_t batch_stride = 0;
};

// Element i lies at data + i * stride; a stride of 0 gives every row or column the same value.
struct VectorOperand {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t stride = 1;
};

struct Epilogue {
  float alpha = 1.0f;
  float beta = 0.0f;
  Activation activation = Activation::kNone;
  VectorOperand scale_m;  // [M]: per output channel
  VectorOperand scale_n;  // [N]: per token
  VectorOperand bias;     // [M]
  DenseOperand c;         // [M,N]: residual
  DenseOperand gate;      // [M,N]: multiplies by silu(gate)
};

struct Problem {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t batch = 1;
  bool accumulate_in_f16 = false;  // of f16 operands
  SparseOperand a;
  DenseOperand b;  // [K,N]
  DenseOperand d;  // [M,N]
  Epilogue epilogue;
};

}  // namespace sparse_gemm
