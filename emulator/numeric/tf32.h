// tf32: an f32 of which only the sign, the exponent and the upper 10 bits of the mantissa count.
#pragma once

#include <bit>
#include <cstdint>

#include "numeric/rounding.h"

namespace emulator::numeric {

inline constexpr uint32_t kTF32UnusedBits = 0x1fff;
inline constexpr uint32_t kTF32MaxNorm = 0x7f7fe000;

// cvt.R{.relu}{.satfinite}.tf32.f32, R = .rna, .rn or .rz. The unused bits of the result are zero.
template <Rounding R>
uint32_t tf32_from_float(float value, bool relu = false, bool satfinite = false) {
  static_assert(R == Rounding::kNearest || R == Rounding::kZero || R == Rounding::kNearestAway);
  constexpr uint32_t kSign = 0x80000000, kInfinity = 0x7f800000, kHalf = (kTF32UnusedBits + 1) / 2;
  if (value != value) return kCanonicalNaN;
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits & kSign;
  uint32_t magnitude = bits & ~kSign;
  if (relu && sign) return 0;
  if (magnitude != kInfinity) {
    // On the pattern of a magnitude, one unit more is the next number, up to infinity.
    if (R == Rounding::kNearestAway) magnitude += kHalf;
    if (R == Rounding::kNearest) magnitude += kHalf - 1 + (magnitude / (2 * kHalf) & 1);
    magnitude &= ~kTF32UnusedBits;
  }
  if (satfinite && magnitude == kInfinity) magnitude = kTF32MaxNorm;
  return sign | magnitude;
}

// As mma reads a register: the unused bits are ignored.
inline float tf32_to_float(uint32_t bits) {
  return std::bit_cast<float>(bits & ~kTF32UnusedBits);
}

}  // namespace emulator::numeric
