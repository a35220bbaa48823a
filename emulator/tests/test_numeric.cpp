// numeric/: special values, modifiers and the integer instructions. tests/test_emulator_numeric.py
// compares conversions and roundings with NumPy and with exact fractions.
#include <limits>

#include "numeric/approx.h"
#include "numeric/arithmetic16.h"
#include "numeric/convert.h"
#include "numeric/float16.h"
#include "numeric/float8.h"
#include "numeric/integer.h"
#include "numeric/rounding.h"
#include "numeric/tf32.h"
#include "tests/check.h"

namespace emulator::test {
namespace {

using namespace numeric;
using Limits = std::numeric_limits<float>;
constexpr float kInfinity = Limits::infinity();
constexpr float kNaN = Limits::quiet_NaN();

uint32_t bits(float value) {
  return std::bit_cast<uint32_t>(value);
}
uint64_t bits(double value) {
  return std::bit_cast<uint64_t>(value);
}

void f32_nans_are_canonical() {
  const float payload = std::bit_cast<float>(0xffc12345);
  CHECK_EQ(bits(add<Rounding::kNearest>(payload, 1.0f)), kCanonicalNaN);
  CHECK_EQ(bits(mul<Rounding::kZero>(kInfinity, 0.0f)), kCanonicalNaN);
  CHECK_EQ(bits(fma<Rounding::kUp>(kInfinity, 1.0f, -kInfinity)), kCanonicalNaN);
  CHECK_EQ(bits(div<Rounding::kDown>(0.0f, 0.0f)), kCanonicalNaN);
  CHECK_EQ(bits(sqrt<Rounding::kZero>(-1.0f)), kCanonicalNaN);
  CHECK_EQ(bits(sub<Rounding::kDown>(1.0f, payload)), kCanonicalNaN);
  const double wide = std::bit_cast<double>(0x7ff8000000012345);
  CHECK_EQ(bits(add<Rounding::kDown>(wide, 1.0)), bits(wide));
}

void zeros_have_the_right_sign() {
  CHECK_EQ(bits(add<Rounding::kNearest>(1.0f, -1.0f)), bits(0.0f));
  CHECK_EQ(bits(add<Rounding::kDown>(1.0f, -1.0f)), bits(-0.0f));
  CHECK_EQ(bits(add<Rounding::kDown>(0.0f, 0.0f)), bits(0.0f));
  CHECK_EQ(bits(add<Rounding::kDown>(0.0f, -0.0f)), bits(-0.0f));
  CHECK_EQ(bits(sub<Rounding::kDown>(2.0, 2.0)), bits(-0.0));
  CHECK_EQ(bits(sub<Rounding::kUp>(2.0, 2.0)), bits(0.0));
  CHECK_EQ(bits(fma<Rounding::kDown>(2.0f, 3.0f, -6.0f)), bits(-0.0f));
  CHECK_EQ(bits(fma<Rounding::kZero>(2.0f, 3.0f, -6.0f)), bits(0.0f));
  CHECK_EQ(bits(sqrt<Rounding::kUp>(-0.0f)), bits(-0.0f));
}

void overflow_and_underflow_follow_the_mode() {
  const float largest = Limits::max(), tiny = Limits::denorm_min();
  CHECK_EQ(add<Rounding::kNearest>(largest, largest), kInfinity);
  CHECK_EQ(add<Rounding::kZero>(largest, largest), largest);
  CHECK_EQ(add<Rounding::kDown>(largest, largest), largest);
  CHECK_EQ(add<Rounding::kUp>(largest, largest), kInfinity);
  CHECK_EQ(mul<Rounding::kUp>(-largest, 2.0f), -largest);
  CHECK_EQ(mul<Rounding::kUp>(tiny, 0.5f), tiny);
  CHECK_EQ(bits(mul<Rounding::kUp>(-tiny, 0.5f)), bits(-0.0f));
  CHECK_EQ(mul<Rounding::kDown>(-tiny, 0.5f), -tiny);
  CHECK_EQ(div<Rounding::kZero>(largest, 0.5f), largest);
  CHECK_EQ(div<Rounding::kZero>(1.0f, 0.0f), kInfinity);
  CHECK_EQ(rcp<Rounding::kDown>(3.0f), std::nextafter(1.0f / 3.0f, 0.0f));
  CHECK_EQ(rcp<Rounding::kNearest>(kInfinity), 0.0f);
  CHECK_EQ(fma<Rounding::kZero>(1e308, 10.0, 0.0), std::numeric_limits<double>::max());
}

void modifiers_of_f32() {
  const float subnormal = Limits::min() / 2;
  CHECK_EQ(bits(flush(-subnormal)), bits(-0.0f));
  CHECK_EQ(flush(Limits::min()), Limits::min());
  CHECK(std::isnan(flush(kNaN)));
  CHECK_EQ(bits(saturate(kNaN)), bits(0.0f));
  CHECK_EQ(bits(saturate(-0.0f)), bits(0.0f));
  CHECK_EQ(saturate(0.25f), 0.25f);
  CHECK_EQ(saturate(kInfinity), 1.0f);
  CHECK_EQ(round_to_integral<Rounding::kNearest>(2.5f), 2.0f);
  CHECK_EQ(round_to_integral<Rounding::kUp>(-2.5f), -2.0f);
  CHECK_EQ(bits(round_to_integral<Rounding::kZero>(-0.5f)), bits(-0.0f));
  CHECK_EQ(copysign_of(-0.0f, 3.0f), -3.0f);
}

void minimum_and_maximum() {
  CHECK_EQ(minimum(kNaN, 1.0f), 1.0f);
  CHECK_EQ(maximum(1.0f, kNaN), 1.0f);
  CHECK_EQ(bits(minimum(kNaN, kNaN)), kCanonicalNaN);
  CHECK_EQ(bits(maximum(1.0f, kNaN, {.nan = true})), kCanonicalNaN);
  CHECK_EQ(bits(minimum(0.0f, -0.0f)), bits(-0.0f));
  CHECK_EQ(bits(maximum(-0.0f, 0.0f)), bits(0.0f));
  CHECK_EQ(minimum(-3.0f, 2.0f, {.xorsign_abs = true}), -2.0f);
  CHECK_EQ(maximum(-3.0f, -2.0f, {.xorsign_abs = true}), 3.0f);
  CHECK_EQ(bits(maximum(-1.0f, kNaN, {.nan = true, .xorsign_abs = true})), kCanonicalNaN);
  CHECK_EQ(minimum16<F16>(0x3c00, 0x7e00), 0x3c00);
  CHECK_EQ(maximum16<BF16>(0x3f80, 0xffc0, {.nan = true}), kCanonicalNaN16);
}

void properties() {
  CHECK(testp(0.0f, Property::kNormal));
  CHECK(!testp(Limits::denorm_min(), Property::kNormal));
  CHECK(testp(Limits::denorm_min(), Property::kSubnormal));
  CHECK(testp(kNaN, Property::kNotANumber));
  CHECK(!testp(kNaN, Property::kFinite));
  CHECK(testp(kInfinity, Property::kInfinite));
  CHECK(testp(kInfinity, Property::kNumber));
}

void modifiers_of_16_bits() {
  CHECK_EQ(from_float<F16>(kNaN), kCanonicalNaN16);
  CHECK_EQ(from_float<BF16>(-kNaN), kCanonicalNaN16);
  CHECK_EQ(bits(to_float<F16>(0xfe01)), kCanonicalNaN);
  CHECK_EQ(satfinite<F16>(from_float<F16>(-1e9f)), 0xfbff);
  CHECK_EQ(satfinite<BF16>(BF16::kInfinity), BF16::kMaxNorm);
  CHECK_EQ(satfinite<F16>(kCanonicalNaN16), kCanonicalNaN16);
  CHECK_EQ(relu<F16>(0xbc00), 0);
  CHECK_EQ(relu<F16>(0xfe00), kCanonicalNaN16);
  CHECK_EQ(relu<BF16>(0x3f80), 0x3f80);
  CHECK_EQ(saturate16<F16>(0x4000), F16::kOne);
  CHECK_EQ(saturate16<F16>(0x7e00), 0);
  CHECK_EQ(saturate16<BF16>(0x8000), 0);
  CHECK_EQ(flush16<F16>(0x83ff), 0x8000);
  CHECK_EQ(flush16<F16>(0x0400), 0x0400);
  // cvt.rn.f16x2.f32 d, a, b: a goes into the upper half.
  CHECK_EQ(pack(from_float<F16>(1.0f), from_float<F16>(2.0f)), 0x3c004000);
  const auto add = [](uint16_t a, uint16_t b) { return add16<F16>(a, b); };
  CHECK_EQ(each_half(add, 0x3c004000u, 0x3c00c000u), 0x40000000);
}

// A product that lies half-way between two bf16, and a third operand far below it.
void ties_are_broken_by_what_is_tiny() {
  const uint16_t a = from_float<BF16>(1.5f), b = from_float<BF16>(1 + 0x1p-7f);
  const uint16_t up = from_float<BF16>(0x1p-100f), down = from_float<BF16>(-0x1p-100f);
  const double middle = 1.5 * (1 + 0x1p-7), half_ulp = 0x1p-8;
  CHECK_EQ(to_float<BF16>(fma16<BF16>(a, b, up)), middle + half_ulp);
  CHECK_EQ(to_float<BF16>(fma16<BF16>(a, b, down)), middle - half_ulp);
  const auto from_integer = integer_to_float16<BF16, Rounding::kNearest, int64_t>;
  const int64_t tie = (int64_t{1} << 60) + (int64_t{1} << 52);
  CHECK_EQ(to_float<BF16>(from_integer(tie)), 0x1p60f);
  CHECK_EQ(to_float<BF16>(from_integer(tie + 1)), 0x1p60f + 0x1p53f);
}

void eight_bits_come_in_pairs() {
  CHECK_EQ((pack8<E4M3>(1.0f, -2.0f, false)), 0x38c0);
  CHECK_EQ((pack8<E4M3>(1.0f, -2.0f, true)), 0x3800);
  CHECK_EQ((pack8<E5M2>(kInfinity, kNaN, false)), 0x7b7f);
  CHECK_EQ((pack8<E4M3>(-kInfinity, kNaN, true)), 0x007f);
  CHECK_EQ((pack8_from_halves<E4M3>(0x3c00c000, false)), 0x38c0);
  CHECK_EQ((unpack8<E4M3>(0x38c0, false)), 0x3c00c000);
  CHECK_EQ((unpack8<E4M3>(0x38c0, true)), 0x3c000000);
  CHECK_EQ((unpack8<E5M2>(0xff7c, false)), 0x7fff7c00);
}

void tf32_modifiers() {
  CHECK_EQ(tf32_from_float<Rounding::kNearestAway>(kNaN), kCanonicalNaN);
  CHECK_EQ(tf32_from_float<Rounding::kNearest>(-1.0f, true), 0);
  CHECK_EQ(tf32_from_float<Rounding::kNearest>(-Limits::max(), false, true), 0xff7fe000);
  CHECK_EQ(tf32_from_float<Rounding::kNearest>(Limits::max()), bits(kInfinity));
  CHECK_EQ(tf32_to_float(0x3f801fff), 1.0f);
}

void nan_to_integer_depends_on_the_types() {
  const auto convert = [](auto integer, auto value) {
    return float_to_integer<decltype(integer)>(value, Rounding::kZero);
  };
  const double wide_nan = kNaN;
  CHECK_EQ(convert(int32_t{}, kNaN), 0);
  CHECK_EQ(convert(uint8_t{}, kNaN), 0);
  CHECK_EQ(convert(int64_t{}, kNaN), std::numeric_limits<int64_t>::min());
  CHECK_EQ(convert(uint64_t{}, kNaN), uint64_t{1} << 63);
  CHECK_EQ(convert(int32_t{}, wide_nan), std::numeric_limits<int32_t>::min());
  CHECK_EQ(convert(uint16_t{}, wide_nan), 0x8000);
}

void integers_clamp() {
  CHECK_EQ((saturate_integer<int8_t>(300)), 127);
  CHECK_EQ((saturate_integer<uint8_t>(-1)), 0);
  CHECK_EQ((saturate_integer<int32_t>(uint32_t{0xffffffff})), 0x7fffffff);
  CHECK_EQ(add_saturated(0x7fffffff, 1), 0x7fffffff);
  CHECK_EQ(sub_saturated(-0x7fffffff, 5), std::numeric_limits<int32_t>::min());
  CHECK_EQ(mad_hi_saturated(0x7fffffff, 0x7fffffff, 0x7fffffff), 0x7fffffff);
}

void products() {
  CHECK_EQ(mul_hi<int32_t>(-1, 1), -1);
  CHECK_EQ(mul_hi<uint32_t>(0xffffffff, 0xffffffff), 0xfffffffe);
  CHECK_EQ(mul_hi<uint64_t>(~uint64_t{0}, 2), 1);
  CHECK_EQ(mul_hi<int16_t>(-32768, 2), -1);
  CHECK_EQ(mad_hi<uint32_t>(0x80000000, 4, 0xffffffff), 1);
  CHECK_EQ(mul24_lo<uint32_t>(0xff000003, 5), 15);
  CHECK_EQ(mul24_lo<int32_t>(0x00ffffff, 7), -7);
  CHECK_EQ(mul24_hi<uint32_t>(0x00800000, 0x00800000), 0x40000000);
  CHECK_EQ(mad24_lo<int32_t>(0x00ffffff, 7, 10), 3);
  CHECK_EQ(mad24_hi_saturated(0x7fffff, 0x7fffff, 0x7fffffff), 0x7fffffff);
  CHECK_EQ(sad<int32_t>(-3, 4, 10), 17);
  CHECK_EQ(sad<uint16_t>(2, 7, 1), 6);
  CHECK_EQ(dp4a(0xff010203, true, 0x01020304, false, 100), 100 - 1 + 2 + 6 + 12);
  CHECK_EQ(dp4a(0xff000000, false, 0xff000000, false, 0), 255 * 255);
  CHECK_EQ(static_cast<int32_t>(dp2a(0xffff0002, true, 0x04030201, true, 0, true)), -4 + 6);
  CHECK_EQ(dp2a(0xffff0002, false, 0x04030201, true, 0, false), 2 * 65535 + 2);
}

void bit_fields() {
  CHECK_EQ(bfe<uint32_t>(0x12345678, 8, 8), 0x56);
  CHECK_EQ(bfe<int32_t>(0x0000f000, 12, 4), -1);
  CHECK_EQ(bfe<int32_t>(-5, 40, 3), -1);
  CHECK_EQ(bfe<uint32_t>(0x80000000, 28, 20), 8);
  CHECK_EQ(bfe<int32_t>(static_cast<int32_t>(0x80000000), 28, 20), -8);
  CHECK_EQ(bfe<int64_t>(-1, 0, 0), 0);
  CHECK_EQ(bfe<uint32_t>(0xff, 256 + 4, 256 + 2), 3);
  CHECK_EQ(bfi<uint32_t>(0xab, 0x12345678, 8, 8), 0x1234ab78);
  CHECK_EQ(bfi<uint32_t>(~0u, 0, 28, 20), 0xf0000000);
  CHECK_EQ(bfi<uint64_t>(1, 5, 64, 1), 5);
  CHECK_EQ(brev<uint32_t>(0x00000003), 0xc0000000);
  CHECK_EQ(brev<uint64_t>(1), uint64_t{1} << 63);
  CHECK_EQ(bfind<uint32_t>(0x00080000, false), 19);
  CHECK_EQ(bfind<uint32_t>(0x00080000, true), 12);
  CHECK_EQ(bfind<int32_t>(-1, false), 0xffffffff);
  CHECK_EQ(bfind<int64_t>(-256, false), 7);
  CHECK_EQ(fns(0xaaaaaaaa, 3, 1), 3);
  CHECK_EQ(fns(0xaaaaaaaa, 3, -1), 3);
  CHECK_EQ(fns(0xaaaaaaaa, 2, 1), 3);
  CHECK_EQ(fns(0xaaaaaaaa, 2, -1), 1);
  CHECK_EQ(fns(0xaaaaaaaa, 2, 0), 0xffffffff);
  CHECK_EQ(fns(1, 0, 2), 0xffffffff);
  CHECK_EQ(bmsk(1, 2, false), 0x6);
  CHECK_EQ(bmsk(28, 8, true), 0xf0000000);
  CHECK_EQ(bmsk(32, 8, true), 0);
  CHECK_EQ(bmsk(0, 32, true), 0xffffffff);
  CHECK_EQ(bmsk(0, 32, false), 0);
  CHECK_EQ(szext<uint32_t>(0xffffffff, 0, false), 0);
  CHECK_EQ(szext<int32_t>(0x8, 4, false), -8);
  CHECK_EQ(szext<int32_t>(-7, 40, true), -7);
  CHECK_EQ(szext<uint32_t>(0xff, 36, false), 0xf);
}

void permutations_and_shifts() {
  constexpr uint32_t kA = 0x33221100, kB = 0x77665544;
  CHECK_EQ(prmt(kA, kB, 0x7250), 0x77225500);
  CHECK_EQ(prmt(0x00008000, 0, 0x9999), 0xffffffff);
  CHECK_EQ(prmt(kA, kB, 3, PermuteMode::kF4E), 0x66554433);
  CHECK_EQ(prmt(kA, kB, 1, PermuteMode::kB4E), 0x66770011);
  CHECK_EQ(prmt(kA, kB, 2, PermuteMode::kRC8), 0x22222222);
  CHECK_EQ(prmt(kA, kB, 2, PermuteMode::kECL), 0x33222222);
  CHECK_EQ(prmt(kA, kB, 2, PermuteMode::kECR), 0x22221100);
  CHECK_EQ(prmt(kA, kB, 1, PermuteMode::kRC16), 0x33223322);
  CHECK_EQ(shf_left(0x80000000, 1, 1, false), 3);
  CHECK_EQ(shf_left(7, 1, 40, true), 7);
  CHECK_EQ(shf_left(0x80000000, 1, 33, false), 3);
  CHECK_EQ(shf_right(2, 1, 1, false), 0x80000001);
  CHECK_EQ(shf_right(2, 9, 99, true), 9);
  CHECK_EQ(shl<uint32_t>(1, 32), 0);
  CHECK_EQ(shr<int32_t>(-8, 100), -1);
  CHECK_EQ(shr<uint64_t>(~uint64_t{0}, 63), 1);
  CHECK_EQ(lop3<uint32_t>(0xf0, 0xcc, 0xaa, 0x80) & 0xff, 0x80);  // a & b & c
  CHECK_EQ(lop3<uint32_t>(0xf0, 0xcc, 0xaa, 0x96) & 0xff, 0x96);  // a ^ b ^ c
  for (int table = 0; table < 256; ++table) {
    CHECK_EQ(lop3<uint32_t>(0xf0, 0xcc, 0xaa, static_cast<uint8_t>(table)) & 0xff, table);
  }
}

void carries() {
  CHECK_EQ(add_carry<uint32_t>(0xffffffff, 0, true).value, 0);
  CHECK(add_carry<uint32_t>(0xffffffff, 0, true).carry);
  CHECK(add_carry<uint32_t>(0xffffffff, 0xffffffff, true).carry);
  CHECK(!add_carry<uint64_t>(1, 2, true).carry);
  CHECK(sub_borrow<uint32_t>(0, 0, true).carry);
  CHECK_EQ(sub_borrow<uint32_t>(5, 3, true).value, 1);
  CHECK(!sub_borrow<uint32_t>(5, 4, true).carry);
  CHECK(sub_borrow<uint32_t>(5, 0xffffffff, true).carry);
  CHECK_EQ(popc(0xf0f0u), 8);
  CHECK_EQ(clz(uint64_t{1}), 63);
  const auto smaller = [](int16_t a, int16_t b) { return std::min(a, b); };
  CHECK_EQ(each_int16<int16_t>(smaller, 0xffff0001, 0x00000002), 0xffff0001);
}

void approximations_of_special_values() {
  CHECK_EQ(ex2(-kInfinity), 0.0f);
  CHECK_EQ(ex2(3.0f), 8.0f);
  CHECK_EQ(lg2(-0.0f), -kInfinity);
  CHECK_EQ(bits(lg2(-1.0f)), kCanonicalNaN);
  CHECK_EQ(rsqrt_approx(-0.0f), -kInfinity);
  CHECK_EQ(bits(rsqrt_approx(-kInfinity)), kCanonicalNaN);
  CHECK_EQ(bits(sin_approx(kInfinity)), kCanonicalNaN);
  CHECK_EQ(bits(sin_approx(-0.0f)), bits(-0.0f));
  CHECK_EQ(cos_approx(-0.0f), 1.0f);
  CHECK_EQ(tanh_approx(kInfinity), 1.0f);
  CHECK_EQ(bits(rcp_approx(-kInfinity)), bits(-0.0f));
  CHECK_EQ(bits(div_approx(-1.0f, 0x1p127f)), bits(-0.0f));
  CHECK_EQ(bits(div_approx(kInfinity, 0x1p127f)), kCanonicalNaN);
  CHECK_EQ(div_approx(1.0f, 0x1p126f), 0x1p-126f);
  CHECK_EQ(div_full(1.0f, 0x1p127f), 0x1p-127f);
  CHECK_EQ(bits(rcp_approx_ftz(double{kNaN})), 0x7fffffff00000000);
  CHECK_EQ(rcp_approx_ftz(-1e-310), -std::numeric_limits<double>::infinity());
  CHECK_EQ(rcp_approx_ftz(4.0), 0.25);
  CHECK_EQ(rsqrt_approx_ftz(16.0), 0.25);
  CHECK_EQ(ex2_16<F16>(0x3c00), 0x4000);
  CHECK_EQ(ex2_16<BF16>(0x0001), BF16::kOne);
  CHECK_EQ(ex2_16<BF16>(from_float<BF16>(-128.0f)), 0);
  CHECK_EQ(tanh_16<F16>(0xfc00), 0xbc00);
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  f32_nans_are_canonical();
  zeros_have_the_right_sign();
  overflow_and_underflow_follow_the_mode();
  modifiers_of_f32();
  minimum_and_maximum();
  properties();
  modifiers_of_16_bits();
  ties_are_broken_by_what_is_tiny();
  eight_bits_come_in_pairs();
  tf32_modifiers();
  nan_to_integer_depends_on_the_types();
  integers_clamp();
  products();
  bit_fields();
  permutations_and_shifts();
  carries();
  approximations_of_special_values();
  return summary();
}
