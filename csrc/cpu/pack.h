// Packing: activations of any strides and element type -> contiguous elements, or lanes of 32 bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/numeric.h"
#include "core/problem.h"
#include "cpu/kernel.h"

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
  for (; i < count; ++i) {
    store_element(out + i, widen_one<Simd>(load_element(source + i * stride)));
  }
}

// out[i] = source[i * stride] for i < count.
template <typename Element>
SPARSE_GEMM_INLINE void copy_line(const Element* source, int64_t stride, int64_t count,
                                  Element* out) {
  if (stride == 1) {
    std::memcpy(out, source, static_cast<size_t>(count) * sizeof(Element));
  } else {
    for (int64_t i = 0; i < count; ++i) store_element(out + i, load_element(source + i * stride));
  }
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

// count units of 32 bits of token n from element k on: elements as they are, or widened to lanes;
// zeros from K on.
template <typename Simd, typename Unit, typename Element>
void read_line(const Activations<Element>& b, int64_t n, int64_t k, int64_t k_end, int64_t count,
               Unit* out) {
  const int64_t elems = std::clamp<int64_t>(k_end - k, 0, count);
  if constexpr (sizeof(Unit) != sizeof(Element)) {
    widen_line<Simd>(b.at(k, n), b.k_stride, elems, out);
  } else {
    copy_line(b.at(k, n), b.k_stride, elems, out);
  }
  std::memset(out + elems, 0, static_cast<size_t>(count - elems) * sizeof(Unit));
}

inline constexpr int64_t kMaxPackedWidth = 64;  // tokens side by side

// What pack_columns does, where tokens lie side by side in memory, too: a unit of all of them is
// put together from lines along N, one for each of its elements.
template <typename Simd, typename Unit, typename Element>
void pack_side_by_side(const Activations<Element>& b, TokenSpan tokens, int64_t k_begin,
                       int64_t k_end, int64_t k, int64_t width, uint32_t* out) {
  constexpr int kUnitElems = 4 / sizeof(Unit);
  using Bits = std::conditional_t<kUnitElems == 1, uint32_t,
                                  std::conditional_t<kUnitElems == 2, uint16_t, uint8_t>>;
  const int64_t count = std::min(tokens.count, width);
  for (int64_t unit = k_begin; unit < k_end; unit += kUnitElems, out += width) {
    alignas(64) Unit lines[kUnitElems][kMaxPackedWidth] = {};
    for (int e = 0; e < kUnitElems && unit + e < k; ++e) {
      if constexpr (sizeof(Unit) == sizeof(Element)) {
        copy_line(b.at(unit + e, tokens.begin), 1, count, lines[e]);
      } else {
        widen_line<Simd>(b.at(unit + e, tokens.begin), 1, count, lines[e]);
      }
    }
    for (int64_t t = 0; t < width; ++t) {
      uint32_t word = 0;
      for (int e = 0; e < kUnitElems; ++e) {
        word |= uint32_t{std::bit_cast<Bits>(lines[e][t])} << 8 * sizeof(Unit) * e;
      }
      out[t] = word;
    }
  }
}

// Columns of tokens: out[u * width + token], u counting units of 32 bits, each 4 / sizeof(Unit)
// elements of K from k_begin to k_end. Zeros beyond the tokens, up to width, and beyond K.
template <typename Simd, typename Unit, typename Element>
void pack_columns(const Activations<Element>& b, TokenSpan tokens, int64_t k_begin, int64_t k_end,
                  int64_t k, int64_t width, uint32_t* out) {
  constexpr int64_t kLineUnits = 64;
  constexpr int64_t kUnitElems = 4 / sizeof(Unit);
  constexpr int64_t kLanes = Simd::kLanes;
  if (tokens.count <= 0) {
    std::memset(out, 0, static_cast<size_t>((k_end - k_begin) / kUnitElems * width) * 4);
    return;
  }
  if (b.n_stride == 1 && b.k_stride != 1) {
    pack_side_by_side<Simd, Unit>(b, tokens, k_begin, k_end, k, width, out);
    return;
  }
  alignas(64) uint32_t lines[kLanes * kLineUnits];
  const int64_t all_units = (k_end - k_begin) / kUnitElems;
  for (int64_t token = 0; token < width; token += kLanes) {
    const int64_t count = std::clamp<int64_t>(tokens.count - token, 0, kLanes);
    if (count < kLanes) std::memset(lines, 0, sizeof(lines));
    for (int64_t unit = 0; unit < all_units; unit += kLineUnits) {
      const int64_t units = std::min(kLineUnits, all_units - unit);
      for (int64_t t = 0; t < count; ++t) {
        read_line<Simd>(b, tokens.begin + token + t, k_begin + unit * kUnitElems, k,
                        units * kUnitElems, reinterpret_cast<Unit*>(lines + t * kLineUnits));
      }
      uint32_t* column = out + unit * width + token;
      int64_t u = 0;
      for (; u + kLanes <= units; u += kLanes) {
        Simd::transpose(lines + u, kLineUnits, column + u * width, width);
      }
      for (; u < units; ++u) {
        for (int64_t t = 0; t < kLanes; ++t) column[u * width + t] = lines[t * kLineUnits + u];
      }
    }
  }
}

}  // namespace sparse_gemm::cpu
