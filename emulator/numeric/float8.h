// The 8-bit formats e4m3 and e5m2, in which PTX computes nothing: it only converts, in pairs.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "numeric/float16.h"

namespace emulator::numeric {

inline constexpr uint8_t kSign8 = 0x80;
inline constexpr uint8_t kCanonicalNaN8 = 0x7f;  // of both formats

// sign 1, exponent 4, mantissa 3; no infinity, and only all ones is NaN
struct E4M3 {
  static constexpr int kMantissaBits = 3;
  static constexpr int kBias = 7;
  static constexpr uint8_t kMaxNorm = 0x7e;  // 448
  static constexpr bool kHasInfinity = false;
};

// sign 1, exponent 5, mantissa 2: the upper half of an f16
struct E5M2 {
  static constexpr int kMantissaBits = 2;
  static constexpr int kBias = 15;
  static constexpr uint8_t kMaxNorm = 0x7b;  // 57344
  static constexpr bool kHasInfinity = true;
};

template <class Format>
constexpr float to_float8(uint8_t bits) {
  constexpr int kF32MantissaBits = 23, kF32Bias = 127;
  const uint32_t sign = uint32_t{static_cast<uint8_t>(bits & kSign8)} << 24;
  const uint32_t magnitude = bits & 0x7f;
  if (magnitude > Format::kMaxNorm) {
    if (Format::kHasInfinity && magnitude == Format::kMaxNorm + 1) {
      return std::bit_cast<float>(sign | 0x7f800000);
    }
    return std::bit_cast<float>(kCanonicalNaN);
  }
  const uint32_t one = 1u << Format::kMantissaBits;
  if (magnitude < one) {
    const int exponent = kF32Bias + 1 - Format::kBias - Format::kMantissaBits;
    const float step = std::bit_cast<float>(static_cast<uint32_t>(exponent) << kF32MantissaBits);
    const float value = static_cast<float>(magnitude) * step;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
  }
  const uint32_t aligned = magnitude << (kF32MantissaBits - Format::kMantissaBits);
  const uint32_t rebias = static_cast<uint32_t>(kF32Bias - Format::kBias) << kF32MantissaBits;
  return std::bit_cast<float>(sign | (aligned + rebias));
}

template <class Format>
uint16_t to_half8(uint8_t bits) {
  return from_float<F16>(to_float8<Format>(bits));
}

// .rn.satfinite: to nearest even, then clamped to the largest finite value; infinity is clamped
// too.
template <class Format>
uint8_t from_float8(float value) {
  if (value != value) return kCanonicalNaN8;
  const uint8_t sign = std::signbit(value) ? kSign8 : uint8_t{0};
  const double magnitude = std::abs(value);
  const double max_norm = to_float8<Format>(Format::kMaxNorm);
  if (magnitude >= max_norm) return sign | Format::kMaxNorm;

  constexpr int kMinExponent = 1 - Format::kBias;
  const int exponent = magnitude > 0 ? std::max(std::ilogb(magnitude), kMinExponent) : kMinExponent;
  // A carry out of the mantissa goes on into the exponent by itself.
  const double steps = std::nearbyint(std::scalbn(magnitude, Format::kMantissaBits - exponent));
  const int biased = (exponent - kMinExponent) << Format::kMantissaBits;
  return static_cast<uint8_t>(sign |
                              std::min<int>(biased + static_cast<int>(steps), Format::kMaxNorm));
}

namespace detail {

// .relu before the conversion: rounding keeps signs, so before and after are the same.
inline float relu_if(bool relu, float value) {
  return relu && value <= 0 ? 0.0f : value;
}

}  // namespace detail

// cvt.rn.satfinite{.relu}.e4m3x2.f32 d, upper, lower and its e5m2 twin
template <class Format>
uint16_t pack8(float upper, float lower, bool relu) {
  const uint16_t high = from_float8<Format>(detail::relu_if(relu, upper));
  const uint16_t low = from_float8<Format>(detail::relu_if(relu, lower));
  return static_cast<uint16_t>(high << 8 | low);
}

// cvt.rn.satfinite{.relu}.e4m3x2.f16x2
template <class Format>
uint16_t pack8_from_halves(uint32_t halves, bool relu) {
  return pack8<Format>(to_float<F16>(upper_half(halves)), to_float<F16>(lower_half(halves)), relu);
}

// cvt.rn{.relu}.f16x2.e4m3x2
template <class Format>
uint32_t unpack8(uint16_t bytes, bool with_relu) {
  const uint16_t upper = to_half8<Format>(static_cast<uint8_t>(bytes >> 8));
  const uint16_t lower = to_half8<Format>(static_cast<uint8_t>(bytes));
  const uint32_t halves = pack(upper, lower);
  return with_relu ? each_half(relu<F16>, halves) : halves;
}

}  // namespace emulator::numeric
