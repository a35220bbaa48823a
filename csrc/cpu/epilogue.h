// The epilogue: a tile of accumulators -> D, in one pass.
//
//   d = silu(gate) * act(alpha * scale_m * scale_n * acc + bias) + beta * c
//
// The tile is worked on line by line, a line running along the dimension of D that is contiguous
// (the accumulators are transposed in L1 where that is M); each term is one short loop over a line,
// which the compiler vectorises.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/kernel_config.h"
#include "core/numeric.h"
#include "core/problem.h"
#include "cpu/activation.h"

namespace sparse_gemm::cpu {

// Accumulators of rows [m_begin, +rows) and tokens [n_begin, +tokens): lanes[row * width + token].
template <typename Lane>
struct AccumulatorTile {
  const Lane* lanes;
  int64_t width;
  int64_t m_begin;
  int64_t rows;
  int64_t n_begin;
  int64_t tokens;
};

// A piece of one row (along N) or one column (along M) of D.
struct Line {
  int64_t m;
  int64_t n;
  int64_t count;
  bool along_m;
};

inline constexpr int64_t kMaxLine = 64;

// The element type of a run-time dtype, handed to `body` as a pointer.
template <typename Body>
SPARSE_GEMM_INLINE void with_elements(const void* data, DType dtype, Body body) {
  switch (dtype) {
    case DType::kFloat16:
      return body(static_cast<const float16*>(data));
    case DType::kBFloat16:
      return body(static_cast<const bfloat16*>(data));
    default:
      return body(static_cast<const float*>(data));
  }
}

template <typename Simd>
struct EpilogueLine {
  // out[i] = element (begin + i * stride), as float.
  static void load(const void* data, DType dtype, int64_t begin, int64_t stride, int64_t count,
                   float* out) {
    with_elements(data, dtype, [&](auto* elements) {
      elements += begin;
      if (stride == 1) {
        for (int64_t i = 0; i < count; ++i) out[i] = to_float(load_element(elements + i));
      } else {
        for (int64_t i = 0; i < count; ++i) out[i] = to_float(load_element(elements + i * stride));
      }
    });
  }
  static void load_vector(const VectorOperand& v, int64_t begin, bool along, int64_t count,
                          float* out) {
    load(v.data, v.dtype, begin * v.stride, along ? v.stride : 0, count, out);
  }
  static void load_matrix(const DenseOperand& x, const Line& line, float* out) {
    load(x.data, x.dtype, line.m * x.row_stride + line.n * x.col_stride,
         line.along_m ? x.row_stride : x.col_stride, line.count, out);
  }

  static void activate(Activation activation, int64_t count, float* value) {
    switch (activation) {
      case Activation::kNone:
        break;
      case Activation::kRelu:
        for (int64_t i = 0; i < count; ++i) value[i] = relu(value[i]);
        break;
      case Activation::kGelu:
        for (int64_t i = 0; i < count; ++i) value[i] = gelu(value[i]);
        break;
      case Activation::kGeluTanh:
        for (int64_t i = 0; i < count; ++i) value[i] = gelu_tanh(value[i]);
        break;
      case Activation::kSilu:
        for (int64_t i = 0; i < count; ++i) value[i] = silu(value[i]);
        break;
    }
  }

  static void apply(const Epilogue& e, const Line& line, float* value) {
    float term[kMaxLine];
    const int64_t count = line.count;
    if (e.alpha != 1.0f) {
      for (int64_t i = 0; i < count; ++i) value[i] *= e.alpha;
    }
    if (e.scale_n.data != nullptr) {
      load_vector(e.scale_n, line.n, !line.along_m, count, term);
      for (int64_t i = 0; i < count; ++i) value[i] *= term[i];
    }
    if (e.scale_m.data != nullptr) {
      load_vector(e.scale_m, line.m, line.along_m, count, term);
      for (int64_t i = 0; i < count; ++i) value[i] *= term[i];
    }
    if (e.bias.data != nullptr) {
      load_vector(e.bias, line.m, line.along_m, count, term);
      for (int64_t i = 0; i < count; ++i) value[i] += term[i];
    }
    activate(e.activation, count, value);
    if (e.gate.data != nullptr) {
      load_matrix(e.gate, line, term);
      for (int64_t i = 0; i < count; ++i) value[i] *= silu(term[i]);
    }
    if (e.c.data != nullptr) {
      load_matrix(e.c, line, term);
      for (int64_t i = 0; i < count; ++i) value[i] += e.beta * term[i];
    }
  }

  template <typename Element>
  static void store_as(const float* value, int64_t count, Element* out, int64_t stride) {
    if (stride == 1) {
      for (int64_t i = 0; i < count; ++i) store_element(out + i, from_float<Element>(value[i]));
    } else {
      for (int64_t i = 0; i < count; ++i) {
        store_element(out + i * stride, from_float<Element>(value[i]));
      }
    }
  }
  static void store(const float* value, const Line& line, const DenseOperand& d) {
    const int64_t begin = line.m * d.row_stride + line.n * d.col_stride;
    const int64_t stride = line.along_m ? d.row_stride : d.col_stride;
    switch (d.dtype) {
      case DType::kFloat16:
        return store_as(value, line.count, static_cast<float16*>(d.data) + begin, stride);
      case DType::kBFloat16:
        return store_as(value, line.count, static_cast<bfloat16*>(d.data) + begin, stride);
      case DType::kInt8:
        return store_as(value, line.count, static_cast<int8_t*>(d.data) + begin, stride);
      default:
        return store_as(value, line.count, static_cast<float*>(d.data) + begin, stride);
    }
  }
};

// Hands a tile's accumulators to body(line, lanes) line by line, the lanes contiguous.
template <typename Simd>
struct TileLines {
  using Lane = typename Simd::Lane;
  // Tokens transposed at a time: one cache line of each row's accumulators.
  static constexpr int64_t kTokens = 16;
  static constexpr int64_t kLanes = Simd::kLanes;
  static_assert(kTokens % kLanes == 0, "whole vectors of tokens");

  template <typename Body>
  static SPARSE_GEMM_INLINE void along_n(const AccumulatorTile<Lane>& tile, Body body) {
    for (int64_t row = 0; row < tile.rows; ++row) {
      for (int64_t token = 0; token < tile.tokens; token += kMaxLine) {
        body(Line{tile.m_begin + row, tile.n_begin + token, std::min(kMaxLine, tile.tokens - token),
                  false},
             tile.lanes + row * tile.width + token);
      }
    }
  }

  template <typename Body>
  static SPARSE_GEMM_INLINE void along_m(const AccumulatorTile<Lane>& tile, Body body) {
    static_assert(kMaxTileM <= kMaxLine, "a column of a tile is one line");
    Lane columns[kTokens][kMaxTileM];
    for (int64_t begin = 0; begin < tile.tokens; begin += kTokens) {
      const int64_t tokens = std::min(kTokens, tile.tokens - begin);
      transpose(tile, begin, tokens, columns);
      for (int64_t token = 0; token < tokens; ++token) {
        body(Line{tile.m_begin, tile.n_begin + begin + token, tile.rows, true}, columns[token]);
      }
    }
  }

  // Squares of kLanes rows and tokens, and what is left over.
  static SPARSE_GEMM_INLINE void transpose(const AccumulatorTile<Lane>& tile, int64_t begin,
                                           int64_t tokens, Lane (*columns)[kMaxTileM]) {
    const Lane* lanes = tile.lanes + begin;
    const int64_t rows = tokens == kTokens ? tile.rows / kLanes * kLanes : 0;
    for (int64_t row = 0; row < rows; row += kLanes) {
      for (int64_t token = 0; token < kTokens; token += kLanes) {
        Simd::transpose(reinterpret_cast<const uint32_t*>(lanes + row * tile.width + token),
                        tile.width, reinterpret_cast<uint32_t*>(&columns[token][row]), kMaxTileM);
      }
    }
    for (int64_t row = rows; row < tile.rows; ++row) {
      for (int64_t token = 0; token < tokens; ++token) {
        columns[token][row] = lanes[row * tile.width + token];
      }
    }
  }

  template <typename Body>
  static SPARSE_GEMM_INLINE void for_each(const AccumulatorTile<Lane>& tile, bool m_is_contiguous,
                                          Body body) {
    if (m_is_contiguous)
      along_m(tile, body);
    else
      along_n(tile, body);
  }
};

template <typename Simd>
void store_tile(const Problem& problem, const AccumulatorTile<typename Simd::Lane>& tile) {
  using Lane = typename Simd::Lane;
  const DenseOperand& d = problem.d;
  const bool along_m = d.row_stride == 1;
  // An int32 D takes the accumulators as they are: exact, so no epilogue term takes part
  // (eager.py).
  if (d.dtype == DType::kInt32) {
    TileLines<Simd>::for_each(tile, along_m, [&](const Line& line, const Lane* lanes) {
      int32_t* out = static_cast<int32_t*>(d.data) + line.m * d.row_stride + line.n * d.col_stride;
      const int64_t stride = along_m ? d.row_stride : d.col_stride;
      for (int64_t i = 0; i < line.count; ++i) {
        store_element(out + i * stride, static_cast<int32_t>(lanes[i]));
      }
    });
    return;
  }
  TileLines<Simd>::for_each(tile, along_m, [&](const Line& line, const Lane* lanes) {
    float value[kMaxLine];
    for (int64_t i = 0; i < line.count; ++i) value[i] = static_cast<float>(lanes[i]);
    EpilogueLine<Simd>::apply(problem.epilogue, line, value);
    EpilogueLine<Simd>::store(value, line, d);
  });
}

}  // namespace sparse_gemm::cpu
