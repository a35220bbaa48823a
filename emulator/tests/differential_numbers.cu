// Numeric functions of CUDA's headers and libdevice on the device, against the host's: to the bit
// where they are exact or correctly rounded, within a few units in the last place elsewhere.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <vector>

#include "differential.h"

namespace {

constexpr int kNumInputs = 3072;

struct Inputs {
  uint64_t a, b, c;
};

// Rounding modes of the host, where an expression is computed for the host alone.
struct RoundTo {
  explicit RoundTo(int mode) { fesetround(mode); }
  ~RoundTo() { fesetround(FE_TONEAREST); }
};
template <int kMode, typename F>
__host__ auto rounded(F f) {
  const RoundTo scope(kMode);
  const volatile auto result = f();  // stored before the mode changes back
  return decltype(f())(result);
}

#ifdef __CUDA_ARCH__
#define EITHER(device, mode, host) return device
#else
#define EITHER(device, mode, host) return rounded<mode>([=] { return host; })
#endif

// Operands of a host expression: volatile, lest it be computed when the program is compiled.
template <typename T>
struct Operands {
  volatile T x, y, z;
  HD explicit Operands(const Inputs& in)
      : x(value_of<T>(in.a)), y(value_of<T>(in.b)), z(value_of<T>(in.c)) {}
  HD Operands(const Operands& o) : x(T(o.x)), y(T(o.y)), z(T(o.z)) {}
};

#define CASE(name)                       \
  struct name {                          \
    HD static auto on(const Inputs& in); \
  };                                     \
  HD auto name::on(const Inputs& in)

#define ROUNDED_CASES(suffix, mode)                                                              \
  CASE(FloatAdd_##suffix) {                                                                      \
    const Operands<float> o(in);                                                                 \
    EITHER(__fadd_##suffix(o.x, o.y), mode, o.x + o.y);                                          \
  }                                                                                              \
  CASE(FloatMul_##suffix) {                                                                      \
    const Operands<float> o(in);                                                                 \
    EITHER(__fmul_##suffix(o.x, o.y), mode, o.x * o.y);                                          \
  }                                                                                              \
  CASE(FloatDiv_##suffix) {                                                                      \
    const Operands<float> o(in);                                                                 \
    EITHER(__fdiv_##suffix(o.x, o.y), mode, o.x / o.y);                                          \
  }                                                                                              \
  CASE(FloatRoot_##suffix) {                                                                     \
    const Operands<float> o(in);                                                                 \
    EITHER(__fsqrt_##suffix(o.x), mode, sqrtf(o.x));                                             \
  }                                                                                              \
  CASE(FloatFma_##suffix) {                                                                      \
    const Operands<float> o(in);                                                                 \
    EITHER(__fmaf_##suffix(o.x, o.y, o.z), mode, fmaf(o.x, o.y, o.z));                           \
  }                                                                                              \
  CASE(FloatRcp_##suffix) {                                                                      \
    const Operands<float> o(in);                                                                 \
    EITHER(__frcp_##suffix(o.x), mode, 1.0f / o.x);                                              \
  }                                                                                              \
  CASE(DoubleAdd_##suffix) {                                                                     \
    const Operands<double> o(in);                                                                \
    EITHER(__dadd_##suffix(o.x, o.y), mode, o.x + o.y);                                          \
  }                                                                                              \
  CASE(DoubleMul_##suffix) {                                                                     \
    const Operands<double> o(in);                                                                \
    EITHER(__dmul_##suffix(o.x, o.y), mode, o.x * o.y);                                          \
  }                                                                                              \
  CASE(DoubleDiv_##suffix) {                                                                     \
    const Operands<double> o(in);                                                                \
    EITHER(__ddiv_##suffix(o.x, o.y), mode, o.x / o.y);                                          \
  }                                                                                              \
  CASE(DoubleRoot_##suffix) {                                                                    \
    const Operands<double> o(in);                                                                \
    EITHER(__dsqrt_##suffix(o.x), mode, sqrt(o.x));                                              \
  }                                                                                              \
  CASE(DoubleFma_##suffix) {                                                                     \
    const Operands<double> o(in);                                                                \
    EITHER(__fma_##suffix(o.x, o.y, o.z), mode, fma(o.x, o.y, o.z));                             \
  }                                                                                              \
  CASE(Narrow_##suffix) {                                                                        \
    const Operands<double> o(in);                                                                \
    EITHER(__double2float_##suffix(o.x), mode, float(o.x));                                      \
  }                                                                                              \
  CASE(FromInt_##suffix) {                                                                       \
    const Operands<int> o(in);                                                                   \
    EITHER(__int2float_##suffix(o.x), mode, float(o.x));                                         \
  }                                                                                              \
  CASE(FromUint_##suffix) {                                                                      \
    const Operands<unsigned> o(in);                                                              \
    EITHER(__uint2float_##suffix(o.x), mode, float(o.x));                                        \
  }                                                                                              \
  CASE(FromLong_##suffix) {                                                                      \
    const Operands<long long> o(in);                                                             \
    EITHER(__ll2float_##suffix(o.x), mode, float(o.x));                                          \
  }                                                                                              \
  CASE(FromUlong_##suffix) {                                                                     \
    const Operands<unsigned long long> o(in);                                                    \
    EITHER(__ull2float_##suffix(o.x), mode, float(o.x));                                         \
  }                                                                                              \
  CASE(DoubleFromLong_##suffix) {                                                                \
    const Operands<long long> o(in);                                                             \
    EITHER(__ll2double_##suffix(o.x), mode, double(o.x));                                        \
  }                                                                                              \
  CASE(DoubleFromUlong_##suffix) {                                                               \
    const Operands<unsigned long long> o(in);                                                    \
    EITHER(__ull2double_##suffix(o.x), mode, double(o.x));                                       \
  }                                                                                              \
  CASE(ToInt_##suffix) {                                                                         \
    const Operands<float> o(in);                                                                 \
    EITHER(__float2int_##suffix(o.x), mode, (convert<int, float>(nearbyintf(o.x))));             \
  }                                                                                              \
  CASE(ToUint_##suffix) {                                                                        \
    const Operands<float> o(in);                                                                 \
    EITHER(__float2uint_##suffix(o.x), mode, (convert<unsigned, float>(nearbyintf(o.x))));       \
  }                                                                                              \
  CASE(ToLong_##suffix) {                                                                        \
    const Operands<float> o(in);                                                                 \
    EITHER(int64_t(__float2ll_##suffix(o.x)), mode, (convert<int64_t, float>(nearbyintf(o.x)))); \
  }                                                                                              \
  CASE(DoubleToInt_##suffix) {                                                                   \
    const Operands<double> o(in);                                                                \
    EITHER(__double2int_##suffix(o.x), mode, (convert<int, double>(nearbyint(o.x))));            \
  }                                                                                              \
  CASE(DoubleToUint_##suffix) {                                                                  \
    const Operands<double> o(in);                                                                \
    EITHER(__double2uint_##suffix(o.x), mode, (convert<unsigned, double>(nearbyint(o.x))));      \
  }                                                                                              \
  CASE(DoubleToUlong_##suffix) {                                                                 \
    const Operands<double> o(in);                                                                \
    EITHER(uint64_t(__double2ull_##suffix(o.x)), mode,                                           \
           (convert<uint64_t, double>(nearbyint(o.x))));                                         \
  }

ROUNDED_CASES(rn, FE_TONEAREST)
ROUNDED_CASES(rz, FE_TOWARDZERO)
ROUNDED_CASES(ru, FE_UPWARD)
ROUNDED_CASES(rd, FE_DOWNWARD)

// Functions of libdevice that are exact.
#define EXACT_CASES(T, Name)                                   \
  CASE(Name##Fmod) {                                           \
    const Operands<T> o(in);                                   \
    return fmod(T(o.x), T(o.y));                               \
  }                                                            \
  CASE(Name##Remainder) {                                      \
    const Operands<T> o(in);                                   \
    return remainder(T(o.x), T(o.y));                          \
  }                                                            \
  CASE(Name##Ldexp) {                                          \
    const Operands<T> o(in);                                   \
    return ldexp(T(o.x), int(in.b % 600) - 300);               \
  }                                                            \
  CASE(Name##Frexp) {                                          \
    const Operands<T> o(in);                                   \
    if (!isfinite(T(o.x))) return T(0);                        \
    int e;                                                     \
    const T m = frexp(T(o.x), &e);                             \
    return m + T(e);                                           \
  }                                                            \
  CASE(Name##Modf) {                                           \
    const Operands<T> o(in);                                   \
    T whole;                                                   \
    const T part = modf(T(o.x), &whole);                       \
    return value_of<T>(bits_of(part) ^ (bits_of(whole) << 1)); \
  }                                                            \
  CASE(Name##Next) {                                           \
    const Operands<T> o(in);                                   \
    return nextafter(T(o.x), T(o.y));                          \
  }                                                            \
  CASE(Name##Logb) {                                           \
    const Operands<T> o(in);                                   \
    return logb(T(o.x));                                       \
  }                                                            \
  CASE(Name##Fdim) {                                           \
    const Operands<T> o(in);                                   \
    return fdim(T(o.x), T(o.y));                               \
  }                                                            \
  CASE(Name##Round) {                                          \
    const Operands<T> o(in);                                   \
    return round(T(o.x));                                      \
  }                                                            \
  CASE(Name##Sign) {                                           \
    const Operands<T> o(in);                                   \
    return copysign(T(o.x), T(o.y));                           \
  }                                                            \
  CASE(Name##Min) {                                            \
    const Operands<T> o(in);                                   \
    return T(fmin(T(o.x), T(o.y)) + T(0));                     \
  }                                                            \
  CASE(Name##Max) {                                            \
    const Operands<T> o(in);                                   \
    return T(fmax(T(o.x), T(o.y)) + T(0));                     \
  }
EXACT_CASES(float, Float)
EXACT_CASES(double, Double)

// 128-bit integers, which the compiler makes of 64-bit ones with carries.
CASE(LongProduct) {
  const __int128 p = __int128(int64_t(in.a)) * int64_t(in.b) + int64_t(in.c);
  return uint64_t(p >> 64) ^ uint64_t(p);
}
CASE(LongQuotient) {
  const unsigned __int128 n = (unsigned __int128)(in.a) << 64 | in.b,
                          d = ((unsigned __int128)(in.b >> 20) << (in.a & 63)) + (in.c | 1);
  return uint64_t((n / d) ^ (n % d) ^ ((n / d) >> 64));
}
CASE(LongShift) {
  const __int128 n = (__int128)((unsigned __int128)(in.a) << 64 | in.b);
  const __int128 r = (n >> (in.c & 127)) + (n << (in.c >> 7 & 127));
  return uint64_t(r >> 64) * 3 + uint64_t(r);
}

// fp16 and bf16. NaN is one: its bits are not compared.
template <typename H>
HD uint64_t half_bits(H value) {
  const float wide = float(value);
  if (wide != wide) return 0x7FFF;
  uint16_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
template <typename H>
struct Halves {
  H x, y, z;
  HD explicit Halves(const Inputs& in)
      : x(value_of<H>(in.a)), y(value_of<H>(in.b)), z(value_of<H>(in.c)) {}
};
template <typename H>
HD H fused(H x, H y, H z) {
#ifdef __CUDA_ARCH__
  return __hfma(x, y, z);
#else
  const double wide = fma(double(float(x)), double(float(y)), double(float(z)));
  if constexpr (std::is_same_v<H, __half>)
    return __double2half(wide);
  else
    return __double2bfloat16(wide);
#endif
}
#define HALF_CASES(H, Name)                                                                \
  CASE(Name##Add) {                                                                        \
    const Halves<H> h(in);                                                                 \
    return half_bits(__hadd(h.x, h.y));                                                    \
  }                                                                                        \
  CASE(Name##Sub) {                                                                        \
    const Halves<H> h(in);                                                                 \
    return half_bits(__hsub(h.x, h.y));                                                    \
  }                                                                                        \
  CASE(Name##Mul) {                                                                        \
    const Halves<H> h(in);                                                                 \
    return half_bits(__hmul(h.x, h.y));                                                    \
  }                                                                                        \
  CASE(Name##Div) {                                                                        \
    const Halves<H> h(in);                                                                 \
    return half_bits(__hdiv(h.x, h.y));                                                    \
  }                                                                                        \
  CASE(Name##Fma) {                                                                        \
    const Halves<H> h(in);                                                                 \
    return half_bits(fused(h.x, h.y, h.z));                                                \
  }                                                                                        \
  CASE(Name##Saturated) {                                                                  \
    const Halves<H> h(in);                                                                 \
    return half_bits(__hadd_sat(h.x, h.y));                                                \
  }                                                                                        \
  CASE(Name##Negate) {                                                                     \
    const Halves<H> h(in);                                                                 \
    return half_bits(__hneg(h.x));                                                         \
  }                                                                                        \
  CASE(Name##Absolute) {                                                                   \
    const Halves<H> h(in);                                                                 \
    return half_bits(__habs(h.x));                                                         \
  }                                                                                        \
  CASE(Name##Minimum) {                                                                    \
    const Halves<H> h(in);                                                                 \
    return half_bits(__hmin(h.x, h.y));                                                    \
  }                                                                                        \
  CASE(Name##Maximum) {                                                                    \
    const Halves<H> h(in);                                                                 \
    return half_bits(__hmax_nan(h.x, h.y));                                                \
  }                                                                                        \
  CASE(Name##Compare) {                                                                    \
    const Halves<H> h(in);                                                                 \
    return uint64_t(__heq(h.x, h.y) | __hne(h.x, h.y) << 1 | __hlt(h.x, h.y) << 2 |        \
                    __hge(h.x, h.y) << 3 | __hltu(h.x, h.y) << 4 | __hneu(h.x, h.y) << 5); \
  }                                                                                        \
  CASE(Name##Widen) {                                                                      \
    const Halves<H> h(in);                                                                 \
    return float(h.x);                                                                     \
  }
HALF_CASES(__half, Half)
HALF_CASES(__nv_bfloat16, Brain)

CASE(HalfFromFloat) {
  const float x = value_of<float>(in.a);
  return half_bits(__float2half_rn(x)) | half_bits(__float2half_rz(x)) << 16 |
         half_bits(__float2half_ru(x)) << 32 | half_bits(__float2half_rd(x)) << 48;
}
CASE(BrainFromFloat) {
  const float x = value_of<float>(in.a);
  return half_bits(__float2bfloat16_rn(x)) | half_bits(__float2bfloat16_rz(x)) << 16 |
         half_bits(__float2bfloat16_ru(x)) << 32 | half_bits(__float2bfloat16_rd(x)) << 48;
}
CASE(HalfFromDouble) {
  return half_bits(__double2half(value_of<double>(in.a)));
}
CASE(BrainFromDouble) {
  return half_bits(__double2bfloat16(value_of<double>(in.a)));
}
CASE(HalfToIntegers) {
  const Halves<__half> h(in);
  return uint64_t(uint32_t(__half2int_rz(h.x))) ^ uint64_t(uint32_t(__half2uint_rz(h.y))) << 32 ^
         uint64_t(__half2ll_rz(h.z)) << 20;
}
CASE(HalfFromIntegers) {
  return half_bits(__int2half_rn(int(in.a))) | half_bits(__uint2half_rz(unsigned(in.b))) << 16 |
         half_bits(__short2half_rd(short(in.c))) << 32 |
         half_bits(__ll2half_ru((long long)(in.a))) << 48;
}
CASE(BrainFromIntegers) {
  return half_bits(__int2bfloat16_rn(int(in.a))) |
         half_bits(__uint2bfloat16_rn(unsigned(in.b))) << 16 |
         half_bits(__ll2bfloat16_rn((long long)(in.a))) << 48;
}

// Functions that have an error: `kUnits` in the last place.
#define CLOSE_CASE(T, Name, kUlp, expression)               \
  struct Name {                                             \
    static constexpr double kUnits = kUlp;                  \
    using Value = T;                                        \
    HD static T on(const Inputs& in) {                      \
      const T x = value_of<T>(in.a), y = value_of<T>(in.b); \
      (void)y;                                              \
      return expression;                                    \
    }                                                       \
  };
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

template <typename Case>
__global__ void on_device(const Inputs* in, uint64_t* out) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < kNumInputs) out[i] = bits_of(Case::on(in[i]));
}

template <typename Case>
bool agree(const Inputs& in, uint64_t device) {
  if constexpr (requires { Case::kUnits; }) {
    using T = typename Case::Value;
    const uint64_t host_bits = bits_of(Case::on(in));
    if (host_bits == device || device == bits_of(NAN)) return host_bits == device;
    const T host = value_of<T>(host_bits), got = value_of<T>(device);
    if (!std::isfinite(host) || !std::isfinite(got)) return host == got;
    const T unit = std::nextafter(std::fabs(host), T(INFINITY)) - std::fabs(host);
    return std::fabs(double(got) - double(host)) <= Case::kUnits * double(unit);
  } else {
    return bits_of(Case::on(in)) == device;
  }
}

template <typename Case>
int check(const char* name, const std::vector<Inputs>& in) {
  Inputs* device_in;
  uint64_t* device_out;
  std::vector<uint64_t> out(kNumInputs);
  const size_t bytes = kNumInputs * sizeof(Inputs);
  cudaMalloc(&device_in, bytes);
  cudaMalloc(&device_out, kNumInputs * sizeof(uint64_t));
  cudaMemcpy(device_in, in.data(), bytes, cudaMemcpyHostToDevice);
  on_device<Case><<<kNumInputs / 128, 128>>>(device_in, device_out);
  const cudaError_t error =
      cudaMemcpy(out.data(), device_out, kNumInputs * sizeof(uint64_t), cudaMemcpyDeviceToHost);
  cudaFree(device_in);
  cudaFree(device_out);
  if (error != cudaSuccess) {
    std::printf("%s: %s\n", name, cudaGetErrorString(error));
    return 1;
  }
  int differences = 0;
  for (int i = 0; i < kNumInputs; ++i) {
    if (agree<Case>(in[i], out[i])) continue;
    if (++differences > 3) continue;
    std::printf("%s(%016llx, %016llx, %016llx): device %016llx, host %016llx\n", name,
                (unsigned long long)(in[i].a), (unsigned long long)(in[i].b),
                (unsigned long long)(in[i].c), (unsigned long long)(out[i]),
                (unsigned long long)(bits_of(Case::on(in[i]))));
  }
  if (differences > 3) std::printf("%s: %d differences\n", name, differences);
  return differences;
}

// Special values of every format, numbers near 1, and any bits.
uint64_t draw(uint64_t& state) {
  const uint64_t special[] = {0,
                              1,
                              ~0ull,
                              0x7FC0,
                              0x7C00,
                              0xFC00,
                              0x3C00,
                              0x03FF,
                              0x8001,
                              0x8000,
                              0x7F80,
                              0xFF80,
                              0x3F80,
                              0x7F800000,
                              0xFF800000,
                              0x7FC00000,
                              0x80000000,
                              0x007FFFFF,
                              0x3F800001,
                              0x4F000000,
                              0xCF000000,
                              0x5F000000,
                              0x7FF0000000000000,
                              0xFFF0000000000000,
                              0x7FF8000000000000,
                              0x8000000000000000,
                              0x000FFFFFFFFFFFFF,
                              0x41E0000000000000,
                              0xC1E0000000000000,
                              0x43E0000000000000,
                              0x7F7FFFFF,
                              0x477FF000,
                              0x33000000,
                              0x33000001,
                              0x38800000,
                              0x387FE000,
                              0x7FEFFFFFFFFFFFFF};
  const auto next = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ (state >> 31);
  };
  const uint64_t any = next();
  switch ((next() >> 20) % 8) {
    case 0:
      return special[any % std::size(special)];
    case 1:
      return bits_of(double(int64_t(any)) * 0x1p-60);
    case 2:
      return bits_of(float(int64_t(any)) * 0x1p-60f);
    case 3:
      return bits_of(float(int64_t(any)) * 0x1p-40f);
    case 4:
      return half_bits(__float2half_rn(float(int64_t(any)) * 0x1p-55f));
    case 5:
      return any >> (next() >> 40) % 64;
    default:
      return any;
  }
}

}  // namespace

#define CHECK(name) differences += check<name>(#name, in);
#define CHECK_ROUNDED(name) CHECK(name##_rn) CHECK(name##_rz) CHECK(name##_ru) CHECK(name##_rd)
#define CHECK_EXACT(T)                                                                             \
  CHECK(T##Fmod)                                                                                   \
  CHECK(T##Remainder) CHECK(T##Ldexp) CHECK(T##Frexp) CHECK(T##Modf) CHECK(T##Next) CHECK(T##Logb) \
      CHECK(T##Fdim) CHECK(T##Round) CHECK(T##Sign) CHECK(T##Min) CHECK(T##Max)
#define CHECK_HALF(T)                                                                          \
  CHECK(T##Add)                                                                                \
  CHECK(T##Sub) CHECK(T##Mul) CHECK(T##Div) CHECK(T##Fma) CHECK(T##Saturated) CHECK(T##Negate) \
      CHECK(T##Absolute) CHECK(T##Minimum) CHECK(T##Maximum) CHECK(T##Compare) CHECK(T##Widen) \
          CHECK(T##FromFloat) CHECK(T##FromDouble) CHECK(T##FromIntegers)
#define CHECK_CLOSE(T)                                                                           \
  CHECK(T##Sin)                                                                                  \
  CHECK(T##Cos) CHECK(T##Tan) CHECK(T##Exp) CHECK(T##Expm1) CHECK(T##Log) CHECK(T##Log1p)        \
      CHECK(T##Pow) CHECK(T##Erf) CHECK(T##Cbrt) CHECK(T##Hypot) CHECK(T##Atan2) CHECK(T##Asinh) \
          CHECK(T##Tanh)

int main() {
  std::vector<Inputs> in(kNumInputs);
  uint64_t state = 3;
  for (Inputs& i : in) i = {draw(state), draw(state), draw(state)};
  int differences = 0;
  CHECK_ROUNDED(FloatAdd)
          CHECK_ROUNDED(FloatMul) CHECK_ROUNDED(FloatDiv) CHECK_ROUNDED(FloatRoot) CHECK_ROUNDED(
              FloatFma) CHECK_ROUNDED(FloatRcp) CHECK_ROUNDED(DoubleAdd) CHECK_ROUNDED(DoubleMul)
              CHECK_ROUNDED(DoubleDiv) CHECK_ROUNDED(DoubleRoot) CHECK_ROUNDED(DoubleFma)
                  CHECK_ROUNDED(Narrow) CHECK_ROUNDED(FromInt) CHECK_ROUNDED(FromUint)
                      CHECK_ROUNDED(FromLong) CHECK_ROUNDED(FromUlong) CHECK_ROUNDED(DoubleFromLong)
                          CHECK_ROUNDED(DoubleFromUlong) CHECK_ROUNDED(ToInt) CHECK_ROUNDED(ToUint)
                              CHECK_ROUNDED(ToLong) CHECK_ROUNDED(DoubleToInt)
                                  CHECK_ROUNDED(DoubleToUint) CHECK_ROUNDED(DoubleToUlong)
                                      CHECK_EXACT(Float) CHECK_EXACT(Double) CHECK(LongProduct)
                                          CHECK(LongQuotient) CHECK(LongShift) CHECK_HALF(Half)
                                              CHECK_HALF(Brain) CHECK(HalfToIntegers)
                                                  CHECK_CLOSE(Float)
                                                      CHECK_CLOSE(Double) return differences == 0
      ? 0
      : 1;
}
