// What the differential programs are made of: operations defined for every operand, the same on
// both sides, so that whatever the device and the host compute must agree to the bit.
#pragma once

#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <type_traits>

#define HD __host__ __device__ inline
#define HD_CALL __host__ __device__ __noinline__

template <typename T>
using Unsigned = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
template <typename T>
constexpr int kBits = 8 * sizeof(T);

// Integers wrap; a division that C++ leaves undefined gives its dividend.
template <typename T>
HD T add(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a + b;
  else
    return T(Unsigned<T>(a) + Unsigned<T>(b));
}
template <typename T>
HD T sub(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a - b;
  else
    return T(Unsigned<T>(a) - Unsigned<T>(b));
}
template <typename T>
HD T mul(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a * b;
  else
    return T(Unsigned<T>(a) * Unsigned<T>(b));
}
template <typename T>
HD bool divisible(T a, T b) {
  return b != 0 && !(std::is_signed_v<T> && a == std::numeric_limits<T>::min() && b == T(-1));
}
template <typename T>
HD T div(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a / b;
  else
    return divisible(a, b) ? T(a / b) : a;
}
template <typename T>
HD T mod(T a, T b) {
  return divisible(a, b) ? T(a % b) : a;
}
template <typename T>
HD T shl(T a, int by) {
  return T(Unsigned<T>(a) << (by & (kBits<T> - 1)));
}
template <typename T>
HD T shr(T a, int by) {
  return T(a >> (by & (kBits<T> - 1)));
}
template <typename T>
HD T rotate(T a, int by) {
  using U = std::make_unsigned_t<T>;
  by &= kBits<T> - 1;
  return T((U(a) << by) | (U(a) >> ((kBits<T> - by) & (kBits<T> - 1))));
}
template <typename T>
HD T less_of(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
HD T more_of(T a, T b) {
  return a > b ? a : b;
}
template <typename T>
HD T multiply_add(T a, T b, T c) {
  if constexpr (std::is_same_v<T, float>)
    return fmaf(a, b, c);
  else if constexpr (std::is_same_v<T, double>)
    return fma(a, b, c);
  else
    return add(mul(a, b), c);
}

HD int32_t high_product(int32_t a, int32_t b) {
#ifdef __CUDA_ARCH__
  return __mulhi(a, b);
#else
  return int32_t((int64_t(a) * b) >> 32);
#endif
}
HD uint32_t high_product(uint32_t a, uint32_t b) {
#ifdef __CUDA_ARCH__
  return __umulhi(a, b);
#else
  return uint32_t((uint64_t(a) * b) >> 32);
#endif
}
HD int64_t high_product(int64_t a, int64_t b) {
#ifdef __CUDA_ARCH__
  return __mul64hi(a, b);
#else
  return int64_t((__int128(a) * b) >> 64);
#endif
}
HD uint64_t high_product(uint64_t a, uint64_t b) {
#ifdef __CUDA_ARCH__
  return __umul64hi(a, b);
#else
  return uint64_t(((unsigned __int128)(a)*b) >> 64);
#endif
}

HD int count_ones(uint64_t a) {
#ifdef __CUDA_ARCH__
  return __popcll(a);
#else
  return __builtin_popcountll(a);
#endif
}
HD int leading_zeros(uint32_t a) {
#ifdef __CUDA_ARCH__
  return __clz(int(a));
#else
  return a ? __builtin_clz(a) : 32;
#endif
}
HD int leading_zeros(uint64_t a) {
#ifdef __CUDA_ARCH__
  return __clzll((long long)(a));
#else
  return a ? __builtin_clzll(a) : 64;
#endif
}
HD int first_one(uint32_t a) {
#ifdef __CUDA_ARCH__
  return __ffs(int(a));
#else
  return __builtin_ffs(int(a));
#endif
}
HD uint32_t reverse_bits(uint32_t a) {
#ifdef __CUDA_ARCH__
  return __brev(a);
#else
  uint32_t r = 0;
  for (int i = 0; i < 32; ++i) r |= ((a >> i) & 1) << (31 - i);
  return r;
#endif
}
HD uint64_t reverse_bits(uint64_t a) {
#ifdef __CUDA_ARCH__
  return __brevll(a);
#else
  return uint64_t(reverse_bits(uint32_t(a))) << 32 | reverse_bits(uint32_t(a >> 32));
#endif
}
HD uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
#ifdef __CUDA_ARCH__
  return __byte_perm(a, b, selector & 0x7777);
#else
  const uint64_t both = uint64_t(b) << 32 | a;
  uint32_t r = 0;
  for (int i = 0; i < 4; ++i) {
    r |= uint32_t((both >> (8 * ((selector >> (4 * i)) & 7))) & 0xFF) << (8 * i);
  }
  return r;
#endif
}
HD uint32_t funnel_shift(uint32_t low, uint32_t high, uint32_t by, int kind) {
#ifdef __CUDA_ARCH__
  switch (kind & 3) {
    case 0:
      return __funnelshift_l(low, high, by);
    case 1:
      return __funnelshift_r(low, high, by);
    case 2:
      return __funnelshift_lc(low, high, by);
    default:
      return __funnelshift_rc(low, high, by);
  }
#else
  const uint64_t both = uint64_t(high) << 32 | low;
  by = (kind & 2) ? (by < 32 ? by : 32) : (by & 31);
  return (kind & 1) ? uint32_t(both >> by) : uint32_t((both << by) >> 32);
#endif
}
HD int32_t dot4(int32_t a, int32_t b, int32_t c) {
#ifdef __CUDA_ARCH__
  return __dp4a(a, b, c);
#else
  uint32_t sum = uint32_t(c);
  for (int i = 0; i < 4; ++i) sum += uint32_t(int8_t(a >> (8 * i)) * int8_t(b >> (8 * i)));
  return int32_t(sum);
#endif
}
HD uint32_t dot2_high(uint32_t a, uint32_t b, uint32_t c) {
#ifdef __CUDA_ARCH__
  return __dp2a_hi(a, b, c);
#else
  return c + (a & 0xFFFF) * ((b >> 16) & 0xFF) + (a >> 16) * (b >> 24);
#endif
}
HD uint32_t sum_of_differences(int32_t a, int32_t b, uint32_t c) {
#ifdef __CUDA_ARCH__
  return __sad(a, b, c);
#else
  return c + uint32_t(a < b ? int64_t(b) - a : int64_t(a) - b);
#endif
}

// Conversions. From float to integer: clamped; NaN is 0, or the sign bit alone where 64 bits are
// involved.
template <typename To, typename From>
HD To convert_wide(From value) {
#ifdef __CUDA_ARCH__
  constexpr bool wide = std::is_same_v<From, double>;
  if constexpr (std::is_same_v<To, int32_t>) {
    if constexpr (wide)
      return __double2int_rz(value);
    else
      return __float2int_rz(value);
  } else if constexpr (std::is_same_v<To, uint32_t>) {
    if constexpr (wide)
      return __double2uint_rz(value);
    else
      return __float2uint_rz(value);
  } else if constexpr (std::is_same_v<To, int64_t>) {
    if constexpr (wide)
      return __double2ll_rz(value);
    else
      return __float2ll_rz(value);
  } else {
    if constexpr (wide)
      return __double2ull_rz(value);
    else
      return __float2ull_rz(value);
  }
#else
  using Limits = std::numeric_limits<To>;
  if (std::isnan(value)) {
    const bool zero = sizeof(From) == 4 && sizeof(To) == 4;
    return zero ? To(0) : To(uint64_t(1) << (kBits<To> - 1));
  }
  const From past = std::ldexp(From(1), Limits::digits);
  if (value >= past) return Limits::max();
  if (value < From(Limits::min())) return Limits::min();
  return To(value);
#endif
}
template <typename To, typename From>
HD To convert(From value) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Wide = std::conditional_t<std::is_signed_v<To>,
                                    std::conditional_t<sizeof(To) == 8, int64_t, int32_t>,
                                    std::conditional_t<sizeof(To) == 8, uint64_t, uint32_t>>;
    return To(convert_wide<Wide>(value));
  } else {
    return static_cast<To>(value);
  }
}

// The bits of a value, with one NaN for all.
template <typename T>
HD uint64_t bits_of(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    if (value != value) return 0x7FF8;
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
  } else {
    return uint64_t(value);
  }
}
template <typename T>
HD T value_of(uint64_t bits) {
  T value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
template <typename T>
HD uint64_t mixed(uint64_t hash, T value) {
  hash = (hash ^ bits_of(value)) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

// Calls: a structure by value, recursion, functions through pointers.
struct Record {
  int8_t tag;
  uint64_t sum;
  float weight;
  uint16_t list[3];
  double scale;
};
HD_CALL Record mix_record(Record r, uint32_t x) {
  r.tag = int8_t(r.tag + x);
  r.sum = rotate(r.sum ^ x, int(x & 31));
  r.weight = r.weight * 0.5f + float(x & 0xFF);
  r.list[x % 3] = uint16_t(r.list[(x + 1) % 3] + x);
  r.scale = r.scale * 0.25 + double(x);
  return r;
}
HD_CALL uint32_t descend(uint32_t n, uint32_t depth) {  // NOLINT(misc-no-recursion)
  if (depth == 0 || n % 11 == 7) return n ^ depth;
  const uint32_t deeper = descend(n * 1664525 + (n >> 8) % 6, depth - 1);
  return deeper + ((n & 1) ? descend(n >> 1, depth / 2) : n % 97);
}
HD_CALL uint64_t twist_add(uint64_t a, uint32_t b) {
  return a + b;
}
HD_CALL uint64_t twist_xor(uint64_t a, uint32_t b) {
  return (a ^ b) * 3;
}
HD_CALL uint64_t twist_turn(uint64_t a, uint32_t b) {
  return rotate(a, int(b & 63));
}
HD_CALL uint64_t twist_down(uint64_t a, uint32_t b) {
  return a - descend(b, b & 3);
}
HD uint64_t twist(uint64_t a, uint32_t b, uint32_t which) {
  uint64_t (*const table[4])(uint64_t, uint32_t) = {twist_add, twist_xor, twist_turn, twist_down};
  return table[which & 3](a, b);
}
