// IEEE arithmetic and conversions in all four roundings, exact functions of libdevice, and 128-bit
// integers: on the device as on the host, to the bit.
#include "differential_cases.h"

namespace {

// The value of a host expression under a rounding mode.
template <int kMode, typename F>
__host__ auto rounded(F f) {
  fesetround(kMode);
  const volatile auto result = f();  // stored before the mode changes back
  fesetround(FE_TONEAREST);
  return decltype(f())(result);
}

// The operands are volatile, lest a result be computed when the program is compiled.
#ifdef __CUDA_ARCH__
#define EITHER(T, mode, device, host)                     \
  const T x = operands.x, y = operands.y, z = operands.z; \
  (void)y, (void)z;                                       \
  return device;
#else
#define EITHER(T, mode, device, host)                              \
  const volatile T x = operands.x, y = operands.y, z = operands.z; \
  (void)y, (void)z;                                                \
  return rounded<mode>([&] { return host; });
#endif
#define ROUNDED_CASE(Name, T, suffix, mode, function, arguments, host) \
  CASE(Name##_##suffix, const Operands<T> operands(in);                \
       EITHER(T, mode, function##_##suffix arguments, host))
#define ROUNDED_CASES(Name, T, function, arguments, host)             \
  ROUNDED_CASE(Name, T, rn, FE_TONEAREST, function, arguments, host)  \
  ROUNDED_CASE(Name, T, rz, FE_TOWARDZERO, function, arguments, host) \
  ROUNDED_CASE(Name, T, ru, FE_UPWARD, function, arguments, host)     \
  ROUNDED_CASE(Name, T, rd, FE_DOWNWARD, function, arguments, host)

ROUNDED_CASES(FloatAdd, float, __fadd, (x, y), (x + y))
ROUNDED_CASES(FloatMul, float, __fmul, (x, y), (x * y))
ROUNDED_CASES(FloatDiv, float, __fdiv, (x, y), (x / y))
ROUNDED_CASES(FloatRoot, float, __fsqrt, (x), (sqrtf(x)))
ROUNDED_CASES(FloatFma, float, __fmaf, (x, y, z), (fmaf(x, y, z)))
ROUNDED_CASES(FloatReciprocal, float, __frcp, (x), (1.0f / x))
ROUNDED_CASES(DoubleAdd, double, __dadd, (x, y), (x + y))
ROUNDED_CASES(DoubleMul, double, __dmul, (x, y), (x * y))
ROUNDED_CASES(DoubleDiv, double, __ddiv, (x, y), (x / y))
ROUNDED_CASES(DoubleRoot, double, __dsqrt, (x), (sqrt(x)))
ROUNDED_CASES(DoubleFma, double, __fma, (x, y, z), (fma(x, y, z)))
ROUNDED_CASES(DoubleReciprocal, double, __drcp, (x), (1.0 / x))
ROUNDED_CASES(Narrow, double, __double2float, (x), (float(x)))
ROUNDED_CASES(FromInt, int32_t, __int2float, (x), (float(x)))
ROUNDED_CASES(FromUint, uint32_t, __uint2float, (x), (float(x)))
ROUNDED_CASES(FromLong, int64_t, __ll2float, (x), (float(x)))
ROUNDED_CASES(FromUlong, uint64_t, __ull2float, (x), (float(x)))
ROUNDED_CASES(DoubleFromLong, int64_t, __ll2double, (x), (double(x)))
ROUNDED_CASES(DoubleFromUlong, uint64_t, __ull2double, (x), (double(x)))
ROUNDED_CASES(ToInt, float, __float2int, (x), (convert<int32_t>(nearbyintf(x))))
ROUNDED_CASES(ToUint, float, __float2uint, (x), (convert<uint32_t>(nearbyintf(x))))
ROUNDED_CASES(ToLong, float, __float2ll, (x), (convert<int64_t>(nearbyintf(x))))
ROUNDED_CASES(ToUlong, float, __float2ull, (x), (convert<uint64_t>(nearbyintf(x))))
ROUNDED_CASES(DoubleToInt, double, __double2int, (x), (convert<int32_t>(nearbyint(x))))
ROUNDED_CASES(DoubleToUint, double, __double2uint, (x), (convert<uint32_t>(nearbyint(x))))
ROUNDED_CASES(DoubleToLong, double, __double2ll, (x), (convert<int64_t>(nearbyint(x))))
ROUNDED_CASES(DoubleToUlong, double, __double2ull, (x), (convert<uint64_t>(nearbyint(x))))

// The host's fmin and fmax make NaN of a signalling one, the device's pass over it.
template <typename T>
HD T quiet(T x) {
  return x != x ? T(NAN) : x;
}

template <typename T>
HD T fraction_and_exponent(T x) {
  if (!isfinite(x)) return 0;
  int exponent;
  const T fraction = frexp(x, &exponent);
  return fraction + T(exponent);
}

template <typename T>
HD uint64_t parts(T x) {
  T whole;
  const T part = modf(x, &whole);
  return mixed(bits_of(part), whole);
}

#define EXACT_CASE(Name, T, expression) CASE(Name, const Operands<T> o(in); return expression;)
#define EXACT_CASES(T, Name)                                    \
  EXACT_CASE(Name##Fmod, T, fmod(o.x, o.y))                     \
  EXACT_CASE(Name##Remainder, T, remainder(o.x, o.y))           \
  EXACT_CASE(Name##Ldexp, T, ldexp(o.x, int(in.b % 600) - 300)) \
  EXACT_CASE(Name##Frexp, T, fraction_and_exponent(o.x))        \
  EXACT_CASE(Name##Modf, T, parts(o.x))                         \
  EXACT_CASE(Name##Next, T, nextafter(o.x, o.y))                \
  EXACT_CASE(Name##Logb, T, logb(o.x))                          \
  EXACT_CASE(Name##Fdim, T, fdim(o.x, o.y))                     \
  EXACT_CASE(Name##Round, T, round(o.x))                        \
  EXACT_CASE(Name##Sign, T, copysign(o.x, o.y))                 \
  EXACT_CASE(Name##Min, T, fmin(quiet(o.x), quiet(o.y)) + T(0)) \
  EXACT_CASE(Name##Max, T, fmax(quiet(o.x), quiet(o.y)) + T(0))
EXACT_CASES(float, Float)
EXACT_CASES(double, Double)

// 128-bit integers, which the compiler makes of smaller ones with carries.
using Long = __int128;
using Ulong = unsigned __int128;
HD uint64_t folded(Ulong x) {
  return mixed(uint64_t(x), uint64_t(x >> 64));
}
HD Ulong joined(uint64_t high, uint64_t low) {
  return Ulong(high) << 64 | low;
}
CASE(LongProduct, return folded(Ulong(Long(int64_t(in.a)) * int64_t(in.b) + int64_t(in.c)));)
CASE(LongShift, const Long n = Long(joined(in.a, in.b));
     return folded(Ulong(n >> (in.c & 127)) + (Ulong(n) << (in.c >> 7 & 127)));)
CASE(LongQuotient, const Ulong divisor = (Ulong(in.b >> 20) << (in.a & 63)) + (in.c | 1);
     return folded(joined(in.a, in.b) / divisor) ^ folded(joined(in.a, in.b) % divisor) << 1;)

}  // namespace

int main() {
  return run_cases();
}
