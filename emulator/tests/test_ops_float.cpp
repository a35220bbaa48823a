// Floating-point arithmetic and conversions against values worked out by hand and the host's own.
#include <bit>
#include <cmath>
#include <limits>

#include "check.h"
#include "snippet.h"

namespace emulator::test {
namespace {

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr u32 kCanonical = 0x7fffffff;
constexpr float kTiny = 1e-40f;  // subnormal
constexpr float kUlp = 0x1p-23f;

u32 bits(float value) {
  return std::bit_cast<u32>(value);
}

void test_f32() {
  CHECK_EQ(apply<float>("add.f32", 1.5f, 2.25f), 3.75f);
  CHECK_EQ(apply<float>("add.rn.f32", 1.0f, kUlp / 2), 1.0f);
  CHECK_EQ(apply<float>("add.rp.f32", 1.0f, kUlp / 2), 1.0f + kUlp);
  CHECK_EQ(apply<float>("add.rm.f32", -1.0f, -kUlp / 4), -1.0f - kUlp);
  CHECK_EQ(apply<float>("add.rz.f32", -1.0f, -kUlp / 4), -1.0f);
  CHECK_EQ(apply<float>("sub.rz.f32", 1.0f, kUlp / 4), 1.0f - kUlp / 2);
  CHECK_EQ(apply<float>("add.sat.f32", 3.0f, 4.0f), 1.0f);
  CHECK_EQ(bits(apply<float>("add.sat.f32", kNan, 4.0f)), 0u);
  CHECK_EQ(bits(apply<float>("add.f32", kNan, 4.0f)), kCanonical);
  CHECK_EQ(apply<float>("add.f32", kTiny, kTiny), 2 * kTiny);
  CHECK_EQ(bits(apply<float>("add.ftz.f32", -kTiny, -kTiny)), 0x80000000u);
  CHECK_EQ(apply<float>("mul.f32", 3.0f, -2.0f), -6.0f);
  CHECK_EQ(apply<float>("mul.ftz.f32", 0x1p-100f, 0x1p-40f), 0.0f);
  CHECK_EQ(apply<float>("mul.ftz.sat.f32", 5.0f, 5.0f), 1.0f);
  CHECK_EQ(apply<float>("mul.rz.f32", 1 + kUlp, 1 + kUlp), 1 + 2 * kUlp);
  CHECK_EQ(apply<float>("mul.rp.f32", 1 + kUlp, 1 + kUlp), 1 + 3 * kUlp);
  CHECK_EQ(apply<float>("fma.rn.f32", 1 + kUlp, 1 + kUlp, -1 - 2 * kUlp), kUlp * kUlp);
  CHECK_EQ(apply<float>("mad.rn.f32", 1 + kUlp, 1 + kUlp, -1 - 2 * kUlp), kUlp * kUlp);
  CHECK_EQ(bits(apply<float>("fma.rn.f32", kInfinity, 0.0f, 1.0f)), kCanonical);
  CHECK_EQ(apply<float>("fma.rm.f32", 1.0f, 1.0f, -0x1p-60f), 1.0f - kUlp / 2);
  CHECK_EQ(apply<float>("fma.rn.ftz.sat.f32", 2.0f, -2.0f, 1.0f), 0.0f);
  CHECK_EQ(apply<float>("div.rn.f32", 1.0f, 3.0f), 1.0f / 3.0f);
  CHECK_EQ(apply<float>("div.rp.f32", 1.0f, 3.0f), 1.0f / 3.0f);
  CHECK_EQ(apply<float>("div.rz.f32", 1.0f, 3.0f), std::nextafter(1.0f / 3.0f, 0.0f));
  CHECK_EQ(apply<float>("div.full.f32", 6.0f, 3.0f), 2.0f);
  CHECK_EQ(apply<float>("div.approx.f32", 1.0f, 0x1.8p126f), 0.0f);
  CHECK_EQ(apply<float>("div.approx.ftz.f32", 6.0f, 3.0f), 2.0f);
  CHECK_EQ(apply<float>("rcp.rn.f32", 4.0f), 0.25f);
  CHECK_EQ(apply<float>("rcp.approx.ftz.f32", -0.0f), -kInfinity);
  CHECK_EQ(apply<float>("sqrt.rn.f32", 2.0f), std::sqrt(2.0f));
  CHECK_EQ(apply<float>("sqrt.rp.ftz.f32", 4.0f), 2.0f);
  CHECK_EQ(bits(apply<float>("sqrt.approx.f32", -1.0f)), kCanonical);
  CHECK_EQ(apply<float>("rsqrt.approx.f32", 16.0f), 0.25f);
  CHECK_EQ(apply<float>("ex2.approx.ftz.f32", 10.0f), 1024.0f);
  CHECK_EQ(apply<float>("lg2.approx.f32", 8.0f), 3.0f);
  CHECK_EQ(apply<float>("sin.approx.f32", 0.0f), 0.0f);
  CHECK_EQ(apply<float>("cos.approx.ftz.f32", 0.0f), 1.0f);
  CHECK_EQ(apply<float>("tanh.approx.f32", kInfinity), 1.0f);
  CHECK_EQ(apply<float>("abs.f32", -1.5f), 1.5f);
  CHECK_EQ(apply<float>("abs.ftz.f32", -kTiny), 0.0f);
  CHECK_EQ(bits(apply<float>("neg.f32", 0.0f)), 0x80000000u);
  CHECK_EQ(apply<float>("copysign.f32", -1.0f, 3.0f), -3.0f);
}

void test_min_max() {
  CHECK_EQ(apply<float>("min.f32", kNan, 1.0f), 1.0f);
  CHECK_EQ(bits(apply<float>("min.f32", kNan, kNan)), kCanonical);
  CHECK_EQ(bits(apply<float>("max.NaN.f32", 1.0f, kNan)), kCanonical);
  CHECK_EQ(bits(apply<float>("min.f32", 0.0f, -0.0f)), 0x80000000u);
  CHECK_EQ(bits(apply<float>("max.f32", -0.0f, 0.0f)), 0u);
  CHECK_EQ(bits(apply<float>("max.ftz.f32", -1.0f, kTiny)), 0u);
  CHECK_EQ(apply<float>("max.xorsign.abs.f32", -3.0f, 2.0f), -3.0f);
  CHECK_EQ(apply<float>("min.xorsign.abs.f32", -3.0f, -2.0f), 2.0f);
  CHECK_EQ(apply<double>("min.f64", -1.0, 2.0), -1.0);
  CHECK_EQ(apply<u16>("max.f16", u16{0x7e00}, u16{0x3c00}), 0x3c00);
  CHECK_EQ(apply<u16>("max.NaN.f16", u16{0x7e00}, u16{0x3c00}), 0x7fff);
  CHECK_EQ(apply<u16>("min.bf16", u16{0x3f80}, u16{0xc000}), 0xc000);
  CHECK_EQ(apply<u32>("max.f16x2", 0xbc003c00u, 0x3c00bc00u), 0x3c003c00u);
  CHECK_EQ(apply<u32>("min.NaN.bf16x2", 0x7fc03f80u, 0x3f804000u), 0x7fff3f80u);
}

void test_f64() {
  CHECK_EQ(apply<double>("add.f64", 1.0, 0x1p-53), 1.0);
  CHECK_EQ(apply<double>("add.rp.f64", 1.0, 0x1p-53), 1.0 + 0x1p-52);
  CHECK_EQ(apply<double>("mul.rn.f64", 3.0, 7.0), 21.0);
  CHECK_EQ(apply<double>("fma.rn.f64", 1 + 0x1p-52, 1 + 0x1p-52, -1 - 0x1p-51), 0x1p-104);
  CHECK_EQ(apply<double>("div.rz.f64", 1.0, 3.0), 1.0 / 3.0);
  CHECK_EQ(apply<double>("sqrt.rn.f64", 2.0), std::sqrt(2.0));
  CHECK_EQ(apply<double>("rcp.rn.f64", 8.0), 0.125);
  CHECK_EQ(apply<double>("rcp.approx.ftz.f64", 8.0), 0.125);
  CHECK_EQ(apply<double>("rsqrt.approx.f64", 64.0), 0.125);
  CHECK_EQ(apply<double>("neg.f64", 1.0), -1.0);
  CHECK_EQ(apply<double>("abs.f64", -1.0), 1.0);
}

void test_half() {
  const u16 one = 0x3c00, two = 0x4000, three = 0x4200, largest = 0x7bff;
  CHECK_EQ(apply<u16>("add.f16", one, two), three);
  CHECK_EQ(apply<u16>("sub.rn.f16", one, two), 0xbc00);
  CHECK_EQ(apply<u16>("mul.f16", largest, two), 0x7c00);
  CHECK_EQ(apply<u16>("add.sat.f16", one, two), one);
  CHECK_EQ(apply<u16>("mul.ftz.f16", u16{0x0400}, u16{0x3800}), 0);
  CHECK_EQ(apply<u16>("mul.f16", u16{0x0400}, u16{0x3800}), 0x0200);
  CHECK_EQ(apply<u16>("fma.rn.f16", two, three, one), 0x4700);
  CHECK_EQ(apply<u16>("fma.rn.relu.f16", two, u16{0xc200}, one), 0);
  CHECK_EQ(apply<u16>("fma.rn.sat.f16", two, three, one), one);
  CHECK_EQ(apply<u32>("add.f16x2", 0x3c004000u, 0x40003c00u), 0x42004200u);
  CHECK_EQ(apply<u32>("fma.rn.f16x2", 0x3c004000u, 0x40004200u, 0x3c003c00u), 0x42004700u);
  CHECK_EQ(apply<u32>("neg.f16x2", 0x3c00bc00u), 0xbc003c00u);
  CHECK_EQ(apply<u16>("abs.f16", u16{0xbc00}), one);
  CHECK_EQ(apply<u16>("add.bf16", u16{0x3f80}, u16{0x4000}), 0x4040);
  CHECK_EQ(apply<u16>("fma.rn.bf16", u16{0x4000}, u16{0x4040}, u16{0x3f80}), 0x40e0);
  CHECK_EQ(apply<u32>("fma.rn.relu.bf16x2", 0x3f80bf80u, 0x3f803f80u, 0u), 0x3f800000u);
  CHECK_EQ(apply<u16>("neg.bf16", u16{0x3f80}), 0xbf80);
  CHECK_EQ(apply<u16>("ex2.approx.f16", one), two);
  CHECK_EQ(apply<u32>("ex2.approx.ftz.bf16x2", 0x3f800000u), 0x40003f80u);
  CHECK_EQ(apply<u32>("tanh.approx.f16x2", 0x7c00fc00u), 0x3c00bc00u);
  CHECK_EQ(apply<u16>("tanh.approx.bf16", u16{0}), 0);
}

void test_float_conversions() {
  CHECK_EQ(apply<u16>("cvt.rn.f16.f32", 1.0f + 0x1p-11f), 0x3c00);
  CHECK_EQ(apply<u16>("cvt.rp.f16.f32", 1.0f + 0x1p-20f), 0x3c01);
  CHECK_EQ(apply<u16>("cvt.rm.f16.f32", -1.0f - 0x1p-20f), 0xbc01);
  CHECK_EQ(apply<u16>("cvt.rz.f16.f32", 1e10f), 0x7bff);
  CHECK_EQ(apply<u16>("cvt.rn.f16.f32", 1e10f), 0x7c00);
  CHECK_EQ(apply<u16>("cvt.rn.satfinite.f16.f32", 1e10f), 0x7bff);
  CHECK_EQ(apply<u16>("cvt.rn.relu.f16.f32", -1.0f), 0);
  CHECK_EQ(apply<u16>("cvt.rn.f16.f32", kNan), 0x7fff);
  CHECK_EQ(apply<u16>("cvt.rn.bf16.f32", 1.0f + 0x1p-8f), 0x3f80);
  CHECK_EQ(apply<u16>("cvt.rn.bf16.f32", 1.0f + 0x1p-7f + 0x1p-8f), 0x3f82);
  // Rounding twice, to f32 and then to f16, would give 0x3c00.
  CHECK_EQ(apply<u16>("cvt.rn.f16.f64", 1.0 + 0x1p-11 + 0x1p-40), 0x3c01);
  CHECK_EQ(apply<float>("cvt.f32.f16", u16{0x3555}), 0.333251953125f);
  CHECK_EQ(apply<float>("cvt.f32.bf16", u16{0xc040}), -3.0f);
  CHECK_EQ(apply<double>("cvt.f64.f32", kTiny), double{kTiny});
  CHECK_EQ(apply<double>("cvt.ftz.f64.f32", kTiny), 0.0);
  CHECK_EQ(apply<float>("cvt.rn.f32.f64", 1.0 + 0x1p-24), 1.0f);
  CHECK_EQ(apply<float>("cvt.rp.f32.f64", 1.0 + 0x1p-30), 1.0f + kUlp);
  CHECK_EQ(apply<float>("cvt.rn.ftz.f32.f64", 1e-40), 0.0f);
  CHECK_EQ(apply<float>("cvt.rni.f32.f32", 2.5f), 2.0f);
  CHECK_EQ(apply<float>("cvt.rmi.f32.f32", -2.5f), -3.0f);
  CHECK_EQ(apply<float>("cvt.rzi.f32.f32", -2.5f), -2.0f);
  CHECK_EQ(apply<double>("cvt.rpi.f64.f64", 2.1), 3.0);
  CHECK_EQ(apply<u16>("cvt.rni.f16.f16", u16{0x4100}), 0x4000);
  CHECK_EQ(apply<float>("cvt.sat.f32.f32", 1.5f), 1.0f);
  CHECK_EQ(apply<u32>("cvt.rna.tf32.f32", 1.0f + 0x1p-11f), 0x3f802000u);
  CHECK_EQ(apply<u32>("cvt.rn.tf32.f32", 1.0f + 0x1p-11f), 0x3f800000u);
  CHECK_EQ(apply<u32>("cvt.rz.relu.tf32.f32", -1.0f), 0u);
}

void test_packed_conversions() {
  CHECK_EQ(apply<u32>("cvt.rn.f16x2.f32", 1.0f, 2.0f), 0x3c004000u);
  CHECK_EQ(apply<u32>("cvt.rz.f16x2.f32", 1e10f, 2.0f), 0x7bff4000u);
  CHECK_EQ(apply<u32>("cvt.rn.relu.f16x2.f32", -1.0f, 2.0f), 0x00004000u);
  CHECK_EQ(apply<u32>("cvt.rn.bf16x2.f32", 1.0f, -2.0f), 0x3f80c000u);
  CHECK_EQ(apply<u32>("cvt.rn.relu.satfinite.bf16x2.f32", kInfinity, -2.0f), 0x7f7f0000u);
  // e4m3: 1 = 0x38, 448 = 0x7e; e5m2: 1 = 0x3c, 57344 = 0x7b.
  CHECK_EQ(apply<u16>("cvt.rn.satfinite.e4m3x2.f32", 1.0f, 1000.0f), 0x387e);
  CHECK_EQ(apply<u16>("cvt.rn.satfinite.e5m2x2.f32", -1.0f, kInfinity), 0xbc7b);
  CHECK_EQ(apply<u16>("cvt.rn.satfinite.relu.e4m3x2.f32", -1.0f, 1.0f), 0x0038);
  CHECK_EQ(apply<u16>("cvt.rn.satfinite.e4m3x2.f16x2", 0x3c00bc00u), 0x38b8);
  CHECK_EQ(apply<u32>("cvt.rn.f16x2.e4m3x2", u16{0x38b8}), 0x3c00bc00u);
  CHECK_EQ(apply<u32>("cvt.rn.relu.f16x2.e5m2x2", u16{0x3cbc}), 0x3c000000u);
}

void test_integer_conversions() {
  CHECK_EQ(apply<u32>("cvt.rzi.s32.f32", -1.9f), u32(-1));
  CHECK_EQ(apply<u32>("cvt.rni.s32.f32", 2.5f), 2u);
  CHECK_EQ(apply<u32>("cvt.rmi.s32.f32", -1.1f), u32(-2));
  CHECK_EQ(apply<u32>("cvt.rpi.u32.f32", 1.1f), 2u);
  CHECK_EQ(apply<u32>("cvt.rzi.u32.f32", -5.0f), 0u);
  CHECK_EQ(apply<u32>("cvt.rzi.s32.f32", 1e20f), 0x7fffffffu);
  CHECK_EQ(apply<u32>("cvt.rzi.s32.f32", kNan), 0u);
  CHECK_EQ(apply<u64>("cvt.rzi.s64.f32", kNan), u64{1} << 63);
  CHECK_EQ(apply<u32>("cvt.rzi.s32.f64", double{kNan}), 0x80000000u);
  CHECK_EQ(apply<u64>("cvt.rzi.u64.f64", 1e19), u64{10000000000000000000u});
  CHECK_EQ(apply<u32>("cvt.rpi.ftz.s32.f32", kTiny), 0u);
  CHECK_EQ(apply<u32>("cvt.rpi.s32.f32", kTiny), 1u);
  CHECK_EQ(apply<u32>("cvt.rni.s32.f16", u16{0x4500}), 5u);
  CHECK_EQ(apply<u32>("cvt.rzi.s32.bf16", u16{0xc0a0}), u32(-5));
  CHECK_EQ(apply<u16>("cvt.rzi.s8.f32", -200.0f), 0xff80);
  CHECK_EQ(apply<u32>("cvt.rzi.s8.f32", -200.0f), 0xffffff80u);
  CHECK_EQ(apply<u16>("cvt.rzi.u8.f16", u16{0x5e00}), 255);  // 384
  CHECK_EQ(apply<float>("cvt.rn.f32.s32", u32(-7)), -7.0f);
  CHECK_EQ(apply<float>("cvt.rn.f32.u32", 0xffffffffu), 0x1p32f);
  CHECK_EQ(apply<float>("cvt.rz.f32.u32", 0xffffffffu), 0x1p32f - 256);
  CHECK_EQ(apply<float>("cvt.rp.f32.s32", 0x1000001u), 0x1p24f + 2);
  CHECK_EQ(apply<float>("cvt.rn.f32.s64", u64(-3)), -3.0f);
  CHECK_EQ(apply<float>("cvt.rn.f32.u8", 0x1ffu), 255.0f);
  CHECK_EQ(apply<float>("cvt.rn.f32.s8", 0x1ffu), -1.0f);
  CHECK_EQ(apply<float>("cvt.rn.f32.s16", u16{0x8000}), -32768.0f);
  CHECK_EQ(apply<double>("cvt.rn.f64.u64", ~u64{0}), 0x1p64);
  CHECK_EQ(apply<u16>("cvt.rn.f16.s32", u32(-2)), 0xc000);
  CHECK_EQ(apply<u16>("cvt.rn.f16.u32", 100000u), 0x7c00);
  CHECK_EQ(apply<u16>("cvt.rz.f16.u32", 100000u), 0x7bff);
  CHECK_EQ(apply<u16>("cvt.rn.bf16.u16", u16{3}), 0x4040);
}

void test_integer_widths() {
  CHECK_EQ(apply<u64>("cvt.s64.s32", u32(-5)), u64(-5));
  CHECK_EQ(apply<u64>("cvt.u64.u32", u32(-5)), u64{0xfffffffb});
  CHECK_EQ(apply<u32>("cvt.u32.u64", u64{0x1234567890}), 0x34567890u);
  CHECK_EQ(apply<u16>("cvt.u16.u32", 0x12345678u), 0x5678);
  CHECK_EQ(apply<u32>("cvt.u32.u16", u16{0xffff}), 0xffffu);
  CHECK_EQ(apply<u32>("cvt.s32.s16", u16{0xffff}), 0xffffffffu);
  CHECK_EQ(apply<u32>("cvt.s32.s8", 0x12345680u), 0xffffff80u);
  CHECK_EQ(apply<u32>("cvt.u32.u8", 0x12345680u), 0x80u);
  CHECK_EQ(apply<u16>("cvt.s16.s8", u16{0x80}), 0xff80);
  CHECK_EQ(apply<u64>("cvt.s64.s8", u64{0xff80}), u64(-128));
  CHECK_EQ(apply<u64>("cvt.u64.s8", u16{0x80}), u64(-128));
  CHECK_EQ(apply<u32>("cvt.s8.s32", 0x180u), 0xffffff80u);  // into a wider register
  CHECK_EQ(apply<u32>("cvt.u8.u32", 0x180u), 0x80u);
  CHECK_EQ(apply<u64>("cvt.s16.s64", u64{0x18000}), u64(-32768));
  CHECK_EQ(apply<u16>("cvt.sat.u8.s32", u32(-5)), 0);
  CHECK_EQ(apply<u16>("cvt.sat.s8.s32", 1000u), 127);
  CHECK_EQ(apply<u32>("cvt.sat.s32.u32", 0xffffffffu), 0x7fffffffu);
  CHECK_EQ(apply<u32>("cvt.sat.u32.s64", u64(-1)), 0u);
  CHECK_EQ(apply<u32>("cvt.sat.s32.u64", ~u64{0}), 0x7fffffffu);
  CHECK_EQ(apply<u32>("cvt.pack.sat.s16.s32", 100000u, u32(-5)), 0x7ffffffbu);
  CHECK_EQ(apply<u32>("cvt.pack.sat.u16.s32", 100000u, u32(-5)), 0xffff0000u);
  CHECK_EQ(apply<u32>("cvt.pack.sat.u8.s32.b32", 300u, 7u, 0x1234u), 0x1234ff07u);
  CHECK_EQ(apply<u32>("cvt.pack.sat.s4.s32.b32", u32(-100), 7u, 0x123456u), 0x12345687u);
}

void test_refusals() {
  CHECK(is_refused("fma.f32 %f0, %f1, %f2, %f3;"));
  CHECK(is_refused("mad.f32 %f0, %f1, %f2, %f3;"));
  CHECK(is_refused("add.rna.f32 %f0, %f1, %f2;"));
  CHECK(is_refused("add.ftz.f64 %fd0, %fd1, %fd2;"));
  CHECK(is_refused("add.f32x2 %rd0, %rd1, %rd2;"));
  CHECK(is_refused("add.f32.bf16 %f0, %h1, %f2;"));
  CHECK(is_refused("max.f32 %f0, %f1, %f2, %f3;"));
  CHECK(is_refused("add.relu.f16 %h0, %h1, %h2;"));
  CHECK(is_refused("add.sat.bf16 %h0, %h1, %h2;"));
  CHECK(is_refused("fma.rn.oob.f16 %h0, %h1, %h2, %h3;"));
  CHECK(is_refused("div.f32 %f0, %f1, %f2;"));
  CHECK(is_refused("div.approx.f64 %fd0, %fd1, %fd2;"));
  CHECK(is_refused("sin.f32 %f0, %f1;"));
  CHECK(is_refused("rcp.approx.f64 %fd0, %fd1;"));
  CHECK(is_refused("ex2.approx.bf16 %h0, %h1;"));
  CHECK(is_refused("cvt.f16.f32 %h0, %f1;"));
  CHECK(is_refused("cvt.rn.f32.f16 %f0, %h1;"));
  CHECK(is_refused("cvt.rn.s32.f32 %r0, %f1;"));
  CHECK(is_refused("cvt.f32.s32 %f0, %r1;"));
  CHECK(is_refused("cvt.rn.e4m3x2.f32 %h0, %f1, %f2;"));
  CHECK(is_refused("cvt.rn.satfinite.e4m3x2.bf16x2 %h0, %r1;"));
  CHECK(is_refused("cvt.rs.f16x2.f32 %r0, %f1, %f2, %r3;"));
  CHECK(is_refused("cvt.rm.f16x2.f32 %r0, %f1, %f2;"));
  CHECK(is_refused("cvt.rn.satfinite.e2m1x2.f32 %h0, %f1, %f2;"));
  CHECK(is_refused("cvt.rni.f16.f32 %h0, %f1;"));
  CHECK(is_refused("cvt.rn.f32.s32 %f0, %rd1;"));
  CHECK(is_refused("cvt.rn.f32.s8 %f0, %rd1;"));
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  test_f32();
  test_min_max();
  test_f64();
  test_half();
  test_float_conversions();
  test_packed_conversions();
  test_integer_conversions();
  test_integer_widths();
  test_refusals();
  return summary();
}
