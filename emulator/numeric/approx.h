// The .approx instructions. Each is computed in f64 and rounded to nearest, which lies within the
// maximum error that the ISA states for it. Devices return other last bits within the same bound,
// so results are not comparable bit by bit. Special values are the ISA's. Where an instruction has
// .ftz, the caller flushes operands and result.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "numeric/float16.h"
#include "numeric/rounding.h"

namespace emulator::numeric {

inline float ex2(float a) {
  return narrow<Rounding::kNearest>(std::exp2(double{a}));
}
inline float lg2(float a) {
  return narrow<Rounding::kNearest>(std::log2(double{a}));
}
inline float rcp_approx(float a) {
  return canonical(1.0f / a);
}
inline float rsqrt_approx(float a) {
  return narrow<Rounding::kNearest>(1.0 / std::sqrt(double{a}));
}
inline float sqrt_approx(float a) {
  return canonical(std::sqrt(a));
}
inline float sin_approx(float a) {
  return narrow<Rounding::kNearest>(std::sin(double{a}));
}
inline float cos_approx(float a) {
  return narrow<Rounding::kNearest>(std::cos(double{a}));
}
inline float tanh_approx(float a) {
  return narrow<Rounding::kNearest>(std::tanh(double{a}));
}

inline float div_full(float a, float b) {
  return canonical(a / b);
}

// a * (1 / b): the reciprocal of a divisor beyond 2^126 is flushed to zero.
inline float div_approx(float a, float b) {
  constexpr float kLargestDivisor = 0x1p126f;
  const bool flushed = std::abs(b) > kLargestDivisor && std::isfinite(b);
  return flushed ? canonical(a * std::copysign(0.0f, b)) : canonical(a / b);
}

inline double rsqrt_approx(double a) {
  return 1.0 / std::sqrt(a);
}

namespace detail {

// The .approx.ftz.f64 forms read and write the upper word only.
template <class Function>
double on_upper_word(double a, Function function) {
  constexpr uint64_t kUpperWord = 0xffffffff00000000;
  constexpr uint64_t kNaN = 0x7fffffff00000000;
  const double operand = std::bit_cast<double>(std::bit_cast<uint64_t>(a) & kUpperWord);
  const double result = flush(function(flush(operand)));
  if (a != a || result != result) return std::bit_cast<double>(kNaN);
  return std::bit_cast<double>(std::bit_cast<uint64_t>(result) & kUpperWord);
}

}  // namespace detail

inline double rcp_approx_ftz(double a) {
  return detail::on_upper_word(a, [](double x) { return 1.0 / x; });
}

inline double rsqrt_approx_ftz(double a) {
  return detail::on_upper_word(a, [](double x) { return 1.0 / std::sqrt(x); });
}

// ex2.approx.f16 and ex2.approx.ftz.bf16 (only the second flushes)
template <class Format>
uint16_t ex2_16(uint16_t a) {
  const uint16_t result = from_double<Format>(std::exp2(double{to_float<Format>(a)}));
  return std::is_same_v<Format, BF16> ? flush16<Format>(result) : result;
}

template <class Format>
uint16_t tanh_16(uint16_t a) {
  return from_double<Format>(std::tanh(double{to_float<Format>(a)}));
}

}  // namespace emulator::numeric
