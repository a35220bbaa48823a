// SIMD traits without instruction-set flags: 128-bit vectors in the compiler's own vector
// extension, which it turns into SSE2 or NEON.
//
// A traits type gives: Lane (float or int32_t), Vector, Index, kIsa, kLanes, and the operations
// below. `indices` reads the metadata of kLanes kept values (kLanes / 2 groups of 2:4) and `select`
// picks, from the 2 * kLanes dense elements of those groups, the ones whose weights were kept;
// `add_up` adds the lanes of each of four vectors, in an order that depends on nothing.
// `load_four` holds four 32-bit units, 16-byte aligned, and `one_of_four` broadcasts one of them;
// `transpose` turns kLanes rows of kLanes 32-bit units into columns. Float lanes also have
// `multiply`, `broadcast_widened` (of one 16-bit float), and rounding to 16 bits and back, and
// `widen` takes every type that weights are stored as.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/device_props.h"
#include "core/numeric.h"

namespace sparse_gemm::cpu {

template <typename LaneType>
struct Portable {
  using Lane = LaneType;
  typedef Lane Vector __attribute__((vector_size(16)));
  struct Index {
    uint8_t position[4];
  };
  static constexpr Isa kIsa = Isa::kPortable;
  static constexpr int kLanes = 4;

  static Vector zero() { return Vector{}; }
  static Vector load(const Lane* source) {
    Vector vector;
    std::memcpy(&vector, source, sizeof(vector));
    return vector;
  }
  static void store(Lane* target, Vector vector) { std::memcpy(target, &vector, sizeof(vector)); }
  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return a * b + sum; }
  static Vector multiply(Vector a, Vector b) { return a * b; }
  static void add_up(const Vector (&v)[4], Lane* out) {
    for (int i = 0; i < 4; ++i) out[i] = (v[i][0] + v[i][2]) + (v[i][1] + v[i][3]);
  }

  static Index indices(const uint8_t* metadata) {
    const uint8_t low = metadata[0] & 0xF;
    const uint8_t high = metadata[0] >> 4;
    return {{static_cast<uint8_t>(low & 3), static_cast<uint8_t>(low >> 2),
             static_cast<uint8_t>(4 + (high & 3)), static_cast<uint8_t>(4 + (high >> 2))}};
  }
  static Vector load_four(const void* units) { return load(static_cast<const Lane*>(units)); }
  template <int I>
  static Vector one_of_four(Vector four) {
    return Vector{four[I], four[I], four[I], four[I]};
  }
  // Of any elements of 32 bits.
  static void transpose(const uint32_t* rows, int64_t row_stride, uint32_t* columns,
                        int64_t column_stride) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < kLanes; ++j) {
        std::memcpy(columns + j * column_stride + i, rows + i * row_stride + j, sizeof(*columns));
      }
    }
  }
  static Vector select(const Lane* dense, Index index) {
    return Vector{dense[index.position[0]], dense[index.position[1]], dense[index.position[2]],
                  dense[index.position[3]]};
  }

  template <typename Element>
  static Vector broadcast_widened(const Element* source) {
    const Lane value = to_lane(load_element(source));
    return Vector{value, value, value, value};
  }
  static Vector round_to_float16(Vector v) { return rounded<float16>(v); }
  static Vector round_to_bfloat16(Vector v) { return rounded<bfloat16>(v); }

  template <typename Element>
  static Vector widen(const Element* source) {
    if constexpr (std::is_same_v<Element, int4x2>) {
      const uint8_t low = source[0].bits, high = source[1].bits;
      return Vector{nibble(low), nibble(low >> 4), nibble(high), nibble(high >> 4)};
    } else if constexpr (sizeof(Lane) == sizeof(Element)) {
      return load(source);
    } else {
      Element elements[kLanes];
      std::memcpy(elements, source, sizeof(elements));
      return Vector{to_lane(elements[0]), to_lane(elements[1]), to_lane(elements[2]),
                    to_lane(elements[3])};
    }
  }

 private:
  template <typename Element>
  static Lane to_lane(Element element) {
    if constexpr (std::is_same_v<Lane, Element> || std::is_same_v<Lane, int32_t>)
      return element;
    else
      return to_float(element);
  }
  // The signed 4-bit number in the low nibble.
  static Lane nibble(int bits) { return static_cast<Lane>(((bits & 0xF) ^ 8) - 8); }
  template <typename Type>
  static Vector rounded(Vector v) {
    return Vector{to_float(from_float<Type>(v[0])), to_float(from_float<Type>(v[1])),
                  to_float(from_float<Type>(v[2])), to_float(from_float<Type>(v[3]))};
  }
};

}  // namespace sparse_gemm::cpu
