// The 16-bit formats f16 and bf16 as bit patterns: conversions with PTX's rounding and modifiers.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "numeric/rounding.h"

namespace emulator::numeric {

inline constexpr uint16_t kSign16 = 0x8000;
inline constexpr uint16_t kCanonicalNaN16 = 0x7fff;  // of both formats

// sign 1, exponent 5, mantissa 10. Converted by hand: compilers vectorise this, but not _Float16.
struct F16 {
  static constexpr uint16_t kInfinity = 0x7c00;
  static constexpr uint16_t kMaxNorm = 0x7bff;
  static constexpr uint16_t kMinNorm = 0x0400;
  static constexpr uint16_t kOne = 0x3c00;

  static constexpr int kShift = 23 - 10;         // between the mantissas of f16 and f32
  static constexpr uint32_t kRebias = 127 - 15;  // between the exponents

  static float widen(uint16_t bits) {
    constexpr uint32_t kF32Infinity = 0x7f800000;
    const uint32_t magnitude = bits & ~uint32_t{kSign16};
    const uint32_t shifted = magnitude << kShift;
    // The multiplication moves the exponent, and normalises subnormals on the way.
    constexpr float kScale = std::bit_cast<float>((127 + kRebias) << 23);
    const auto finite = std::bit_cast<uint32_t>(std::bit_cast<float>(shifted) * kScale);
    const uint32_t value = magnitude < kInfinity ? finite : shifted | kF32Infinity;
    return std::bit_cast<float>(value | (bits & uint32_t{kSign16}) << 16);
  }

  static uint16_t nearest(float value) {
    constexpr uint32_t kExponent = 0x7f800000;
    constexpr uint32_t kMinExponent = (127 - 14) << 23;
    constexpr float kBeyond = 0x1p16f;  // becomes infinity, as all above it do
    constexpr float kScale = std::bit_cast<float>((127 - kRebias) << 23);
    const auto bits = std::bit_cast<uint32_t>(value);
    const float size = std::min(std::bit_cast<float>(bits & 0x7fffffff), kBeyond);
    // A power of two whose unit in the last place is the one that f16 has at `size`: adding it
    // rounds, and subtracting it again leaves the rounded value.
    const uint32_t exponent = std::max(std::bit_cast<uint32_t>(size) & kExponent, kMinExponent);
    const float align = std::bit_cast<float>(exponent + (kShift << 23));
    const float rounded = (size + align) - align;
    const uint32_t magnitude = std::bit_cast<uint32_t>(rounded * kScale) >> kShift;
    return static_cast<uint16_t>(magnitude | (bits >> 16 & kSign16));
  }
};

// sign 1, exponent 8, mantissa 7: the upper half of an f32
struct BF16 {
  static constexpr uint16_t kInfinity = 0x7f80;
  static constexpr uint16_t kMaxNorm = 0x7f7f;
  static constexpr uint16_t kMinNorm = 0x0080;
  static constexpr uint16_t kOne = 0x3f80;

  static float widen(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
  static uint16_t nearest(float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    const uint32_t half_ulp = 0x7fff + (bits >> 16 & 1);  // ties go to the even neighbour
    return static_cast<uint16_t>((bits + half_ulp) >> 16);
  }
};

template <class Format>
bool is_nan16(uint16_t bits) {
  return (bits & ~kSign16) > Format::kInfinity;
}

template <class Format>
float to_float(uint16_t bits) {
  return canonical(Format::widen(bits));
}

// cvt.R.f16.f32, cvt.R.bf16.f32
template <class Format, Rounding R = Rounding::kNearest>
uint16_t from_float(float value) {
  if (value != value) return kCanonicalNaN16;
  const uint16_t nearest = Format::nearest(value);
  if constexpr (R == Rounding::kNearest) {
    return nearest;
  } else {
    const float back = Format::widen(nearest);
    if (back == value) return nearest;
    const bool negative = std::signbit(value);
    const bool too_large = negative ? back < value : back > value;  // in magnitude
    const bool outwards = R != Rounding::kZero && negative == (R == Rounding::kDown);
    return static_cast<uint16_t>(nearest + (outwards ? !too_large : -too_large));
  }
}

namespace detail {

// An f32 whose last bit is set where the f64 did not fit: rounding it to 16 bits is then the same
// as rounding the f64 once.
inline float narrow_to_odd(double value) {
  const auto nearest = static_cast<float>(value);
  const bool inexact = double{nearest} != value;
  const bool beyond = std::abs(double{nearest}) > std::abs(value);
  return std::bit_cast<float>((std::bit_cast<uint32_t>(nearest) - beyond) | inexact);
}

}  // namespace detail

// cvt.R.f16.f64 and the like: one rounding, not two.
template <class Format, Rounding R = Rounding::kNearest>
uint16_t from_double(double value) {
  return from_float<Format, R>(detail::narrow_to_odd(value));
}

// .satfinite, of a converted value: what went beyond the largest finite value becomes it.
template <class Format>
uint16_t satfinite(uint16_t bits) {
  const bool infinite = (bits & ~kSign16) == Format::kInfinity;
  return infinite ? static_cast<uint16_t>((bits & kSign16) | Format::kMaxNorm) : bits;
}

// .relu: negative values become +0, and so does -0; NaN becomes the canonical one.
template <class Format>
uint16_t relu(uint16_t bits) {
  if (is_nan16<Format>(bits)) return kCanonicalNaN16;
  return bits & kSign16 ? uint16_t{0} : bits;
}

// .sat: clamps to [+0, 1]; NaN becomes +0.
template <class Format>
uint16_t saturate16(uint16_t bits) {
  if (is_nan16<Format>(bits) || (bits & kSign16)) return 0;
  return bits < Format::kOne ? bits : Format::kOne;
}

// .ftz: subnormals become zeros of the same sign.
template <class Format>
uint16_t flush16(uint16_t bits) {
  return (bits & ~kSign16) < Format::kMinNorm ? static_cast<uint16_t>(bits & kSign16) : bits;
}

inline uint16_t lower_half(uint32_t word) {
  return static_cast<uint16_t>(word);
}
inline uint16_t upper_half(uint32_t word) {
  return static_cast<uint16_t>(word >> 16);
}
inline uint32_t pack(uint16_t upper, uint16_t lower) {
  return uint32_t{upper} << 16 | lower;
}

// Applies an operation on 16-bit patterns to both halves of packed operands.
template <class Op, class... Words>
uint32_t each_half(Op op, Words... words) {
  return pack(op(upper_half(words)...), op(lower_half(words)...));
}

}  // namespace emulator::numeric
