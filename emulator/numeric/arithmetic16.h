// f16 and bf16 arithmetic: every operation rounds once, to nearest even. For the packed forms, call
// them from a lambda given to each_half. Inlined by force: a loop over lanes with a call in it is
// not vectorised, and compilers find some of these too large to inline for both halves.
#pragma once

#include "numeric/float16.h"
#include "numeric/rounding.h"

namespace emulator::numeric {

// f32 has at least twice the bits and two more, so rounding a sum to f32 first changes nothing.
template <class Format>
[[gnu::always_inline]] inline uint16_t add16(uint16_t a, uint16_t b) {
  return from_float<Format>(Format::widen(a) + Format::widen(b));
}

template <class Format>
[[gnu::always_inline]] inline uint16_t sub16(uint16_t a, uint16_t b) {
  return from_float<Format>(Format::widen(a) - Format::widen(b));
}

// f64, as a product of two bf16 can lie beyond the range of f32.
template <class Format>
[[gnu::always_inline]] inline uint16_t mul16(uint16_t a, uint16_t b) {
  return from_double<Format>(double{Format::widen(a)} * double{Format::widen(b)});
}

template <class Format>
[[gnu::always_inline]] inline uint16_t fma16(uint16_t a, uint16_t b, uint16_t c) {
  const double product = double{Format::widen(a)} * double{Format::widen(b)};  // exact
  const detail::ExactSum<double> sum(product, double{Format::widen(c)});
  return from_double<Format>(detail::to_odd(sum));
}

template <class Format>
[[gnu::always_inline]] inline uint16_t minimum16(uint16_t a, uint16_t b, MinMax modifiers = {}) {
  return from_float<Format>(minimum(Format::widen(a), Format::widen(b), modifiers));
}

template <class Format>
[[gnu::always_inline]] inline uint16_t maximum16(uint16_t a, uint16_t b, MinMax modifiers = {}) {
  return from_float<Format>(maximum(Format::widen(a), Format::widen(b), modifiers));
}

template <class Format>
uint16_t negate16(uint16_t a) {
  return a ^ kSign16;
}

template <class Format>
uint16_t absolute16(uint16_t a) {
  return a & ~kSign16;
}

}  // namespace emulator::numeric
