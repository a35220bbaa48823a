// The terms of the epilogue, on a segment of eight accumulators:
//
//   d = silu(gate) * act(alpha * scale_m * scale_n * acc + bias) + beta * c
//
// Which terms take part is a run-time value, the same for the whole grid.
#pragma once

#include "core/problem.h"
#include "cuda/epilogue/activation.h"
#include "cuda/epilogue/segment.h"

namespace sparse_gemm::cuda {

__device__ __forceinline__ void load_vector(const VectorOperand& v, int64_t begin, bool along,
                                            int count, float (&out)[kSegmentElems]) {
  load_segment(v.data, v.dtype, begin * v.stride, along ? v.stride : 0, count, out);
}

__device__ __forceinline__ void load_matrix(const DenseOperand& x, const Segment& at,
                                            float (&out)[kSegmentElems]) {
  load_segment(x.data, x.dtype, at.offset(x), at.stride(x), at.count, out);
}

template <typename Op>
__device__ __forceinline__ void for_each_elem(Op op) {
#pragma unroll
  for (int i = 0; i < kSegmentElems; ++i) op(i);
}

__device__ __forceinline__ void apply_terms(const Epilogue& e, const Segment& at,
                                            float (&value)[kSegmentElems]) {
  float term[kSegmentElems];
  for_each_elem([&](int i) { value[i] *= e.alpha; });
  if (e.scale_n.data != nullptr) {
    load_vector(e.scale_n, at.n, !at.along_m, at.count, term);
    for_each_elem([&](int i) { value[i] *= term[i]; });
  }
  if (e.scale_m.data != nullptr) {
    load_vector(e.scale_m, at.m, at.along_m, at.count, term);
    for_each_elem([&](int i) { value[i] *= term[i]; });
  }
  if (e.bias.data != nullptr) {
    load_vector(e.bias, at.m, at.along_m, at.count, term);
    for_each_elem([&](int i) { value[i] += term[i]; });
  }
  if (e.activation != Activation::kNone) {
    for_each_elem([&](int i) { value[i] = activate(e.activation, value[i]); });
  }
  if (e.gate.data != nullptr) {
    load_matrix(e.gate, at, term);
    for_each_elem([&](int i) { value[i] *= silu(term[i]); });
  }
  if (e.c.data != nullptr) {
    load_matrix(e.c, at, term);
    for_each_elem([&](int i) { value[i] += e.beta * term[i]; });
  }
}

}  // namespace sparse_gemm::cuda
