// f32 and f64 arithmetic with PTX's rounding modifiers.
//
// The host computes in round-to-nearest-even only. A directed result is the nearest one, moved by
// one unit in the last place where it lies on the wrong side of the exact value; the side comes
// from an error term that is exact in a wider type. Nothing touches the floating-point environment,
// and round-to-nearest is plain C++, so a loop over 32 lanes vectorises.
//
// Compile with -ffp-contract=off: a * b + c of two PTX instructions must not become one fma.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace emulator::numeric {

// .rn .rz .rm .rp .rna, and the integer forms .rni .rzi .rmi .rpi.
enum class Rounding : uint8_t { kNearest, kZero, kDown, kUp, kNearestAway };

// Single precision returns an unspecified NaN by the ISA; this is the one that devices return (CUDA
// Programming Guide, "Floating-Point Standard").
inline constexpr uint32_t kCanonicalNaN = 0x7fffffff;

inline float canonical(float value) {
  return value == value ? value : std::bit_cast<float>(kCanonicalNaN);
}
// Double precision keeps payloads.
inline double canonical(double value) {
  return value;
}

// .ftz: subnormals become zeros of the same sign.
template <class F>
F flush(F value) {
  return std::abs(value) < std::numeric_limits<F>::min() ? std::copysign(F{0}, value) : value;
}

// .sat: clamps to [+0, 1]; NaN becomes +0.
template <class F>
F saturate(F value) {
  return value > F{0} ? (value < F{1} ? value : F{1}) : F{0};
}

namespace detail {

__extension__ typedef __float128 Float128;

// Holds any product of two F, and any quotient's or root's remainder, exactly.
template <class F>
using Wide = std::conditional_t<std::is_same_v<F, float>, double, Float128>;

template <class F>
F next_up(F value) {
  using Bits = std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t>;
  if (value == F{0}) return std::numeric_limits<F>::denorm_min();
  if (value == std::numeric_limits<F>::infinity()) return value;
  const auto bits = std::bit_cast<Bits>(value);
  return std::bit_cast<F>(value > F{0} ? bits + 1 : bits - 1);
}

template <class T>
int sign_of(T value) {
  return (value > T{0}) - (value < T{0});
}

// Moves `nearest`, the exact value rounded to nearest, where R asks for it. `error` is the sign of
// exact - nearest.
template <Rounding R, class F>
F direct(F nearest, int error) {
  if constexpr (R == Rounding::kDown) {
    return error < 0 ? -next_up(-nearest) : nearest;
  } else if constexpr (R == Rounding::kUp) {
    return error > 0 ? next_up(nearest) : nearest;
  } else {
    static_assert(R == Rounding::kZero);
    if (nearest > F{0} && error < 0) return -next_up(-nearest);
    if (nearest < F{0} && error > 0) return next_up(nearest);
    return nearest;
  }
}

// A sum of two wide numbers that need not fit: high + low exactly (Knuth's TwoSum).
template <class T>
struct ExactSum {
  T high, low;

  ExactSum(T a, T b) : high(a + b) {
    const T b_part = high - a;
    low = (a - (high - b_part)) + (b - b_part);
  }

  // Sign of high + low - value, for a `value` that high was rounded to.
  template <class F>
  int sign_minus(F value) const {
    const T wide = value;
    return high == wide ? sign_of(low) : sign_of(high - wide);
  }
};

// high + low as one number whose last bit is set where anything was lost: rounding it again to a
// type at least two bits shorter gives what rounding the exact sum would (rounding to odd).
inline double to_odd(const ExactSum<double>& sum) {
  // Without branches, so that loops vectorise. The error is NaN where the sum is not finite.
  const bool inexact = std::abs(sum.low) > 0;
  const bool beyond = inexact & ((sum.low > 0) != (sum.high > 0));
  return std::bit_cast<double>((std::bit_cast<uint64_t>(sum.high) - beyond) | inexact);
}

// A sum of operands of unlike sign that is exactly zero is -0 when rounding down.
template <Rounding R, class F>
F directed_sum(F nearest, F a, F b, const ExactSum<Wide<F>>& exact) {
  const int error = exact.sign_minus(nearest);
  if (R == Rounding::kDown && nearest == F{0} && error == 0 && std::signbit(a) != std::signbit(b)) {
    return -F{0};
  }
  return direct<R>(nearest, error);
}

}  // namespace detail

template <Rounding R, class F>
F add(F a, F b) {
  const F nearest = a + b;
  if constexpr (R == Rounding::kNearest) {
    return canonical(nearest);
  } else {
    if (!std::isfinite(a) || !std::isfinite(b)) return canonical(nearest);
    return detail::directed_sum<R>(nearest, a, b, detail::ExactSum<detail::Wide<F>>(a, b));
  }
}

template <Rounding R, class F>
F sub(F a, F b) {
  if constexpr (R == Rounding::kNearest) {
    return canonical(a - b);
  } else {
    return b == b ? add<R>(a, -b) : add<R>(a, b);  // a NaN keeps its sign
  }
}

template <Rounding R, class F>
F mul(F a, F b) {
  const F nearest = a * b;
  if constexpr (R == Rounding::kNearest) {
    return canonical(nearest);
  } else {
    using Wide = detail::Wide<F>;
    if (!std::isfinite(a) || !std::isfinite(b)) return canonical(nearest);
    const Wide exact = Wide{a} * Wide{b};
    return detail::direct<R>(nearest, detail::sign_of(exact - Wide{nearest}));
  }
}

template <Rounding R, class F>
F fma(F a, F b, F c) {
  const F nearest = std::fma(a, b, c);
  if constexpr (R == Rounding::kNearest) {
    return canonical(nearest);
  } else {
    using Wide = detail::Wide<F>;
    if (!std::isfinite(a) || !std::isfinite(b) || !std::isfinite(c)) return canonical(nearest);
    // Only the sign of the product matters to directed_sum.
    const F product_sign = std::signbit(a) != std::signbit(b) ? F{-1} : F{1};
    const detail::ExactSum<Wide> exact(Wide{a} * Wide{b}, Wide{c});
    return detail::directed_sum<R>(nearest, product_sign, c, exact);
  }
}

template <Rounding R, class F>
F div(F a, F b) {
  const F nearest = a / b;
  if constexpr (R == Rounding::kNearest) {
    return canonical(nearest);
  } else {
    using Wide = detail::Wide<F>;
    if (!std::isfinite(a) || !std::isfinite(b) || b == F{0}) return canonical(nearest);
    // Overflow: the exact quotient is nearer to zero than the infinity it was rounded to.
    const int error = std::isinf(nearest)
                          ? -detail::sign_of(nearest)
                          : detail::sign_of(Wide{a} - Wide{nearest} * Wide{b}) * detail::sign_of(b);
    return detail::direct<R>(nearest, error);
  }
}

template <Rounding R, class F>
F rcp(F a) {
  return div<R>(F{1}, a);
}

template <Rounding R, class F>
F sqrt(F a) {
  const F nearest = std::sqrt(a);
  if constexpr (R == Rounding::kNearest) {
    return canonical(nearest);
  } else {
    using Wide = detail::Wide<F>;
    if (!(a > F{0}) || std::isinf(a)) return canonical(nearest);
    return detail::direct<R>(nearest, detail::sign_of(Wide{a} - Wide{nearest} * Wide{nearest}));
  }
}

// cvt.R.f32.f64
template <Rounding R>
float narrow(double value) {
  const auto nearest = static_cast<float>(value);
  if constexpr (R == Rounding::kNearest) {
    return canonical(nearest);
  } else {
    if (!std::isfinite(value)) return canonical(nearest);
    return detail::direct<R>(nearest, detail::sign_of(value - double{nearest}));
  }
}

// cvt.rni, .rzi, .rmi, .rpi between equal types.
template <Rounding R, class F>
F round_to_integral(F value) {
  if constexpr (R == Rounding::kZero) return canonical(std::trunc(value));
  if constexpr (R == Rounding::kDown) return canonical(std::floor(value));
  if constexpr (R == Rounding::kUp) return canonical(std::ceil(value));
  if constexpr (R == Rounding::kNearest) {
    // The default environment rounds to nearest even, and nothing here changes it.
    return canonical(std::nearbyint(value));
  }
}

// Modifiers of min and max: .NaN and .xorsign.abs.
struct MinMax {
  bool nan = false;
  bool xorsign_abs = false;
};

template <class F>
F absolute(F value) {
  return std::abs(value);
}

template <class F>
F negate(F value) {
  return -value;
}

// copysign.type d, a, b: the sign of a on the magnitude of b.
template <class F>
F copysign_of(F a, F b) {
  return std::copysign(b, a);
}

namespace detail {

// -0 < +0 here. `prefer_first` says which of two unequal numbers wins.
template <class F, class Prefer>
F select(F a, F b, MinMax modifiers, Prefer prefer_first) {
  const bool negative = std::signbit(a) != std::signbit(b);
  if (modifiers.xorsign_abs) {
    a = std::abs(a);
    b = std::abs(b);
  }
  F result;
  if (a != a || b != b) {
    result = modifiers.nan || (a != a && b != b) ? std::numeric_limits<F>::quiet_NaN()
                                                 : (a != a ? b : a);
  } else {
    result = prefer_first(a, b) ? a : b;
  }
  if (result != result) return canonical(result);
  return modifiers.xorsign_abs ? std::copysign(result, negative ? F{-1} : F{1}) : result;
}

}  // namespace detail

template <class F>
F minimum(F a, F b, MinMax modifiers = {}) {
  return detail::select(a, b, modifiers,
                        [](F x, F y) { return x < y || (x == y && std::signbit(x)); });
}

template <class F>
F maximum(F a, F b, MinMax modifiers = {}) {
  return detail::select(a, b, modifiers,
                        [](F x, F y) { return x > y || (x == y && std::signbit(y)); });
}

// testp; both zeros count as normal.
enum class Property : uint8_t { kFinite, kInfinite, kNumber, kNotANumber, kNormal, kSubnormal };

template <class F>
bool testp(F value, Property property) {
  switch (property) {
    case Property::kFinite:
      return std::isfinite(value);
    case Property::kInfinite:
      return std::isinf(value);
    case Property::kNumber:
      return !std::isnan(value);
    case Property::kNotANumber:
      return std::isnan(value);
    case Property::kNormal:
      return std::isnormal(value) || value == F{0};
    case Property::kSubnormal:
      return std::fpclassify(value) == FP_SUBNORMAL;
  }
  return false;
}

}  // namespace emulator::numeric
