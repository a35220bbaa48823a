// cvt between integers and floating point, and between integers.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "numeric/float16.h"
#include "numeric/rounding.h"

namespace emulator::numeric {

// cvt.rni, .rzi, .rmi, .rpi. Clamps to the range of Int, with or without .sat. NaN gives zero, but
// the pattern with only the top bit set where the source is f64 or the destination has 64 bits.
// f16 and bf16 sources: widen them first, as they count with f32.
template <class Int, class F>
Int float_to_integer(F value, Rounding rounding) {
  constexpr int kBits = 8 * sizeof(Int);
  if (value != value) {
    const bool top_bit = sizeof(F) == 8 || kBits == 64;
    return top_bit ? static_cast<Int>(uint64_t{1} << (kBits - 1)) : Int{0};
  }
  switch (rounding) {
    case Rounding::kZero:
      value = std::trunc(value);
      break;
    case Rounding::kDown:
      value = std::floor(value);
      break;
    case Rounding::kUp:
      value = std::ceil(value);
      break;
    default:
      value = std::nearbyint(value);  // ties to even in the default environment
  }
  // A power of two, so exact, as the largest integer need not be.
  const F beyond = std::ldexp(F{1}, std::numeric_limits<Int>::digits);
  if (value >= beyond) return std::numeric_limits<Int>::max();
  if (value <= static_cast<F>(std::numeric_limits<Int>::min())) {
    return std::numeric_limits<Int>::min();
  }
  return static_cast<Int>(value);
}

// cvt.R.f32.s32 and the like.
template <Rounding R, class F, class Int>
F integer_to_float(Int value) {
  const F nearest = static_cast<F>(value);
  if constexpr (R == Rounding::kNearest) {
    return nearest;
  } else {
    __extension__ typedef __int128 Wide;
    const Wide back = static_cast<Wide>(nearest);  // at most 2^64
    return detail::direct<R>(nearest, detail::sign_of(Wide{value} - back));
  }
}

// cvt.R.f16.s64 and the like: one rounding.
template <class Format, Rounding R, class Int>
uint16_t integer_to_float16(Int value) {
  const auto truncated = integer_to_float<Rounding::kZero, double>(value);
  __extension__ typedef __int128 Wide;
  const bool exact = static_cast<Wide>(truncated) == Wide{value};
  return from_double<Format, R>(
      exact ? truncated : std::bit_cast<double>(std::bit_cast<uint64_t>(truncated) | 1));
}

// cvt.sat between integers.
template <class To, class From>
constexpr To saturate_integer(From value) {
  if (std::cmp_less(value, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (std::cmp_greater(value, std::numeric_limits<To>::max())) {
    return std::numeric_limits<To>::max();
  }
  return static_cast<To>(value);
}

}  // namespace emulator::numeric
