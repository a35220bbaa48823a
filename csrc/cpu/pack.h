// Packing: activations of any strides and element type -> contiguous lanes (float or int32).
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/numeric.h"
#include "core/problem.h"

namespace sparse_gemm::cpu {

// Element type -> lane type: int8 accumulates in int32, floating point in float.
template <typename Element>
struct LaneOf {
  using type = float;
};
template <>
struct LaneOf<int8_t> {
  using type = int32_t;
};

template <typename Simd, typename Element>
SPARSE_GEMM_INLINE typename Simd::Lane widen_one(Element element) {
  if constexpr (sizeof(Element) == 1)
    return element;
  else
    return to_float(element);
}

// out[i] = source[i * stride] for i < count, as lanes.
template <typename Simd, typename Element>
void widen_line(const Element* source, int64_t stride, int64_t count, typename Simd::Lane* out) {
  int64_t i = 0;
  if (stride == 1) {
    for (; i + Simd::kLanes <= count; i += Simd::kLanes) {
      Simd::store(out + i, Simd::widen(source + i));
    }
  }
  for (; i < count; ++i) out[i] = widen_one<Simd>(load_element(source + i * stride));
}

// B as elements of one type, addressed by (k, n).
template <typename Element>
struct Activations {
  const Element* data;
  int64_t k_stride;
  int64_t n_stride;

  SPARSE_GEMM_INLINE explicit Activations(const DenseOperand& b)
      : data(static_cast<const Element*>(b.data)), k_stride(b.row_stride), n_stride(b.col_stride) {}
  SPARSE_GEMM_INLINE const Element* at(int64_t k, int64_t n) const {
    return data + k * k_stride + n * n_stride;
  }
};

// Token-major: out[token * padded_k + k], zeros from K to padded_k.
template <typename Simd, typename Element>
void pack_token_major(const Activations<Element>& b, int64_t n, int64_t k, int64_t padded_k,
                      typename Simd::Lane* out) {
  widen_line<Simd>(b.at(0, n), b.k_stride, k, out);
  std::fill(out + k, out + padded_k, typename Simd::Lane{0});
}

// K-major: out[k * width + token] for k in [k_begin, k_end), zeros beyond the tokens and beyond K.
template <typename Simd, typename Element>
void pack_k_major(const Activations<Element>& b, int64_t n_begin, int64_t tokens, int64_t k_begin,
                  int64_t k_end, int64_t k, int64_t width, typename Simd::Lane* out) {
  using Lane = typename Simd::Lane;
  constexpr int64_t kLineElems = 256;
  Lane line[kLineElems];
  const int64_t k_valid_end = std::min(k, k_end);
  if (b.k_stride != 1 || tokens < width || k_valid_end < k_end) {
    std::fill(out, out + (k_end - k_begin) * width, Lane{0});
  }
  if (b.k_stride != 1) {
    for (int64_t row = k_begin; row < k_valid_end; ++row) {
      widen_line<Simd>(b.at(row, n_begin), b.n_stride, tokens, out + (row - k_begin) * width);
    }
    return;
  }
  // Tokens lie along K in memory: widen a piece of one token with vectors, then scatter it.
  for (int64_t piece = k_begin; piece < k_valid_end; piece += kLineElems) {
    const int64_t count = std::min(kLineElems, k_valid_end - piece);
    for (int64_t token = 0; token < tokens; ++token) {
      widen_line<Simd>(b.at(piece, n_begin + token), 1, count, line);
      Lane* column = out + (piece - k_begin) * width + token;
      for (int64_t i = 0; i < count; ++i) column[i * width] = line[i];
    }
  }
}

}  // namespace sparse_gemm::cpu
