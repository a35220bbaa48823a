// The terms of the epilogue, on a segment of eight accumulators:
//
//   d = silu(gate) * act(alpha * scale_m * scale_n * acc + bias) + beta * c
//
// Which terms take part is a run-time value, the same for the whole grid. All are asked for before
// any is used, so that their ways from memory overlap.
#pragma once

#include "core/problem.h"
#include "cuda/epilogue/activation.h"
#include "cuda/epilogue/segment.h"

namespace sparse_gemm::cuda {

template <typename Op>
__device__ __forceinline__ void for_each_elem(Op op) {
#pragma unroll
  for (int i = 0; i < kSegmentElems; ++i) op(i);
}

// What the terms have for a segment. Words of terms that are absent hold nothing.
class SegmentTerms {
 public:
  __device__ SegmentTerms(const Epilogue& e, const Segment& at) : e_(e) {
    load(e.scale_n, at.n, !at.along_m, at, scale_n_);
    load(e.scale_m, at.m, at.along_m, at, scale_m_);
    load(e.bias, at.m, at.along_m, at, bias_);
    load(e.gate, at, gate_);
    load(e.c, at, c_);
  }

  __device__ void apply(float (&value)[kSegmentElems]) const {
    for_each_elem([&](int i) { value[i] *= e_.alpha; });
    with(e_.scale_n, scale_n_, [&](int i, float scale) { value[i] *= scale; });
    with(e_.scale_m, scale_m_, [&](int i, float scale) { value[i] *= scale; });
    with(e_.bias, bias_, [&](int i, float bias) { value[i] += bias; });
    if (e_.activation != Activation::kNone) {
      for_each_elem([&](int i) { value[i] = activate(e_.activation, value[i]); });
    }
    with(e_.gate, gate_, [&](int i, float gate) { value[i] *= silu(gate); });
    with(e_.c, c_, [&](int i, float c) { value[i] += e_.beta * c; });
  }

 private:
  static __device__ void load(const VectorOperand& v, int64_t begin, bool along, const Segment& at,
                              SegmentWords& word) {
    if (v.data == nullptr) return;
    load_segment(v.data, v.dtype, begin * v.stride, along ? v.stride : 0, at.count, word);
  }
  static __device__ void load(const DenseOperand& x, const Segment& at, SegmentWords& word) {
    if (x.data == nullptr) return;
    load_segment(x.data, x.dtype, at.offset(x), at.stride(x), at.count, word);
  }

  // op(i, element i of the term), if there is that term.
  template <typename Operand, typename Op>
  static __device__ void with(const Operand& term, const SegmentWords& word, Op op) {
    if (term.data == nullptr) return;
    float elem[kSegmentElems];
    floats_of(word, term.dtype, elem);
    for_each_elem([&](int i) { op(i, elem[i]); });
  }

  const Epilogue& e_;
  SegmentWords scale_n_, scale_m_, bias_, gate_, c_;
};

}  // namespace sparse_gemm::cuda
