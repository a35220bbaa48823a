// fp16 and bf16 as CUDA's headers compute them on either side, to the bit, and functions of
// libdevice against those of the host's library, within the units in the last place that CUDA
// states.
#include <cuda_bf16.h>

#include "differential_cases.h"

namespace {

// A sum rounded to odd, so that rounding it once more is as if it were exact.
__host__ double fma_to_odd(double a, double b, double c) {
  const volatile double x = a, y = b, z = c;
  feclearexcept(FE_INEXACT);
  fesetround(FE_TOWARDZERO);
  const volatile double sum = fma(x, y, z);
  fesetround(FE_TONEAREST);
  return fetestexcept(FE_INEXACT) ? value_of<double>(bits_of(double(sum)) | 1) : double(sum);
}
template <typename H>
HD H fused(H x, H y, H z) {
#ifdef __CUDA_ARCH__
  return __hfma(x, y, z);
#else
  const double sum = fma_to_odd(float(x), float(y), float(z));
  if constexpr (std::is_same_v<H, __half>) {
    return __double2half(sum);
  } else {
    return __double2bfloat16(sum);
  }
#endif
}

// The host's minimum and maximum do not tell the zeros apart.
template <typename H>
HD uint64_t without_zero_sign(const Operands<H>& h, H result) {
  const bool zeros = float(h.x) == 0 && float(h.y) == 0;
  return zeros ? half_bits(result) & 0x7FFF : half_bits(result);
}

template <typename H>
HD uint64_t comparisons(H x, H y) {
  return uint64_t(__heq(x, y) | __hne(x, y) << 1 | __hlt(x, y) << 2 | __hge(x, y) << 3 |
                  __hltu(x, y) << 4 | __hneu(x, y) << 5);
}

#define HALF_CASE(Name, H, expression) CASE(Name, const Operands<H> h(in); return expression;)
#define HALF_CASES(H, Name)                                               \
  HALF_CASE(Name##Add, H, half_bits(__hadd(h.x, h.y)))                    \
  HALF_CASE(Name##Sub, H, half_bits(__hsub(h.x, h.y)))                    \
  HALF_CASE(Name##Mul, H, half_bits(__hmul(h.x, h.y)))                    \
  HALF_CASE(Name##Div, H, half_bits(__hdiv(h.x, h.y)))                    \
  HALF_CASE(Name##Fma, H, half_bits(fused(h.x, h.y, h.z)))                \
  HALF_CASE(Name##Saturated, H, half_bits(__hadd_sat(h.x, h.y)))          \
  HALF_CASE(Name##Negate, H, half_bits(__hneg(h.x)))                      \
  HALF_CASE(Name##Absolute, H, half_bits(__habs(h.x)))                    \
  HALF_CASE(Name##Minimum, H, without_zero_sign(h, __hmin(h.x, h.y)))     \
  HALF_CASE(Name##Maximum, H, without_zero_sign(h, __hmax_nan(h.x, h.y))) \
  HALF_CASE(Name##Compare, H, comparisons(h.x, h.y))                      \
  HALF_CASE(Name##Widen, H, float(h.x))
HALF_CASES(__half, Half)
HALF_CASES(__nv_bfloat16, Brain)

HD uint64_t joined(uint64_t a, uint64_t b, uint64_t c = 0, uint64_t d = 0) {
  return a | b << 16 | c << 32 | d << 48;
}
CASE(HalfFromFloat, const float x = value_of<float>(in.a);
     return joined(half_bits(__float2half_rn(x)), half_bits(__float2half_rz(x)),
                   half_bits(__float2half_ru(x)), half_bits(__float2half_rd(x)));)
CASE(BrainFromFloat, const float x = value_of<float>(in.a);
     return joined(half_bits(__float2bfloat16_rn(x)), half_bits(__float2bfloat16_rz(x)),
                   half_bits(__float2bfloat16_ru(x)), half_bits(__float2bfloat16_rd(x)));)
CASE(HalfFromDouble, return half_bits(__double2half(value_of<double>(in.a)));)
CASE(BrainFromDouble, return half_bits(__double2bfloat16(value_of<double>(in.a)));)
CASE(HalfToInt, return __half2int_rz(value_of<__half>(in.a));)
CASE(HalfToUint, return __half2uint_rz(value_of<__half>(in.a));)
CASE(HalfToLong, return __half2ll_rz(value_of<__half>(in.a));)
CASE(HalfFromIntegers,
     return joined(half_bits(__int2half_rn(int(in.a))), half_bits(__uint2half_rz(unsigned(in.b))),
                   half_bits(__short2half_rd(short(in.c))),
                   half_bits(__ll2half_ru((long long)(in.a))));)
CASE(BrainFromIntegers, return joined(half_bits(__int2bfloat16_rn(int(in.a))),
                                      half_bits(__uint2bfloat16_rn(unsigned(in.b))),
                                      half_bits(__ll2bfloat16_rn((long long)(in.c))));)

#define CLOSE_CASE(T, Name, kMaxUnits, expression)          \
  struct Name {                                             \
    static constexpr double kUnits = kMaxUnits;             \
    HD static T on(const Inputs& in) {                      \
      const T x = value_of<T>(in.a), y = value_of<T>(in.b); \
      (void)y;                                              \
      return expression;                                    \
    }                                                       \
  };                                                        \
  const bool registered_##Name = add_case(#Name, check<Name>);
#define CLOSE_CASES(T, Name)                 \
  CLOSE_CASE(T, Name##Sin, 2, sin(x))        \
  CLOSE_CASE(T, Name##Cos, 2, cos(x))        \
  CLOSE_CASE(T, Name##Tan, 4, tan(x))        \
  CLOSE_CASE(T, Name##Exp, 2, exp(x))        \
  CLOSE_CASE(T, Name##Expm1, 2, expm1(x))    \
  CLOSE_CASE(T, Name##Log, 2, log(x))        \
  CLOSE_CASE(T, Name##Log1p, 2, log1p(x))    \
  CLOSE_CASE(T, Name##Pow, 4, pow(x, y))     \
  CLOSE_CASE(T, Name##Erf, 2, erf(x))        \
  CLOSE_CASE(T, Name##Cbrt, 2, cbrt(x))      \
  CLOSE_CASE(T, Name##Hypot, 3, hypot(x, y)) \
  CLOSE_CASE(T, Name##Atan2, 3, atan2(x, y)) \
  CLOSE_CASE(T, Name##Asinh, 4, asinh(x))    \
  CLOSE_CASE(T, Name##Tanh, 3, tanh(x))
CLOSE_CASES(float, Float)
CLOSE_CASES(double, Double)

}  // namespace

int main() {
  return run_cases();
}
