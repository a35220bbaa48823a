// Scalar conversions between the small floating-point types and float: IEEE 754 round to nearest,
// ties to even; nan stays nan (quiet). They are the same on any machine.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/macros.h"

namespace sparse_gemm {

// Storage types: the bits alone. Arithmetic happens in float.
struct float16 {
  uint16_t bits;
};
struct bfloat16 {
  uint16_t bits;
};
struct float8_e4m3 {  // finite: no infinity, nan where all of exponent and mantissa are ones
  uint8_t bits;
};
struct float8_e5m2 {
  uint8_t bits;
};
struct int4x2 {  // two elements, the earlier in the low nibble
  uint8_t bits;
};

// Reading and writing an element that need not be aligned: callers' arrays may start anywhere.
template <typename T>
SPARSE_GEMM_INLINE T load_element(const T* source) {
  T value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}
template <typename T>
SPARSE_GEMM_INLINE void store_element(T* target, T value) {
  std::memcpy(target, &value, sizeof(value));
}

SPARSE_GEMM_INLINE float to_float(float value) {
  return value;
}

SPARSE_GEMM_INLINE float to_float(bfloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// A binary16 shifted into binary32's place wants its exponent raised by 127 - 15 = 112. A subnormal
// gets one more, and the implicit one that comes with it is subtracted: no operand is a subnormal
// float, so the result does not depend on whether the thread flushes those.
SPARSE_GEMM_INLINE float to_float(float16 value) {
  constexpr uint32_t kHalfInfinity = 0x7C00u << 13;
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(value.bits & 0x7FFFu) << 13;
  const float subnormal = std::bit_cast<float>(magnitude + (113u << 23)) - 0x1p-14f;
  const uint32_t finite =
      magnitude < (1u << 23) ? std::bit_cast<uint32_t>(subnormal) : magnitude + (112u << 23);
  const uint32_t special = 0x7F800000u | (magnitude & 0x007FFFFFu);
  return std::bit_cast<float>(sign | (magnitude >= kHalfInfinity ? special : finite));
}

// float16 without its last eight bits.
SPARSE_GEMM_INLINE float to_float(float8_e5m2 value) {
  return to_float(float16{static_cast<uint16_t>(value.bits << 8)});
}

// Shifted into binary16's place the exponent wants to be raised by 15 - 7 = 8.
SPARSE_GEMM_INLINE float to_float(float8_e4m3 value) {
  const uint32_t magnitude = value.bits & 0x7Fu;
  const uint32_t half = (value.bits & 0x80u) << 8 | (magnitude == 0x7Fu ? 0x7E00u : magnitude << 7);
  return to_float(float16{static_cast<uint16_t>(half)}) * 256.0f;
}

SPARSE_GEMM_INLINE float to_float(int8_t value) {
  return value;
}

template <typename T>
SPARSE_GEMM_INLINE T from_float(float value);

template <>
SPARSE_GEMM_INLINE float from_float<float>(float value) {
  return value;
}

template <>
SPARSE_GEMM_INLINE bfloat16 from_float<bfloat16>(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = bits + 0x7FFFu + ((bits >> 16) & 1u);  // half an ulp, ties to even
  const uint32_t quiet_nan = bits | 0x00400000u;
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  return {static_cast<uint16_t>((is_nan ? quiet_nan : rounded) >> 16)};
}

template <>
SPARSE_GEMM_INLINE float16 from_float<float16>(float value) {
  constexpr uint32_t kInfinity = 0x7F800000u;
  constexpr uint32_t kSmallestNormal = (127u - 14u) << 23;  // 2^-14
  constexpr uint32_t kOverflow = 0x477FF000u;               // 65520: rounds to infinity
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  uint32_t half = 0;
  if (magnitude > kInfinity) {
    half = 0x7E00u | ((magnitude >> 13) & 0x01FFu);
  } else if (magnitude >= kOverflow) {
    half = 0x7C00u;
  } else if (magnitude < kSmallestNormal) {
    // Adding 0.5 aligns the subnormal's last place (2^-24) with the sum's; the FPU rounds to even.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  } else {
    const uint32_t rounded = magnitude + 0x0FFFu + ((magnitude >> 13) & 1u);
    half = (rounded - ((127u - 15u) << 23)) >> 13;
  }
  return {static_cast<uint16_t>(sign | half)};
}

// Round to nearest even, saturate; nan becomes 0.
template <>
SPARSE_GEMM_INLINE int8_t from_float<int8_t>(float value) {
  const float clamped = value > 127.0f ? 127.0f : (value < -128.0f ? -128.0f : value);
  return value == value ? static_cast<int8_t>(std::nearbyint(clamped)) : int8_t{0};
}

}  // namespace sparse_gemm
