// Integer arithmetic against C++ and values worked out by hand.
#include <climits>
#include <limits>

#include "check.h"
#include "snippet.h"

namespace emulator::test {
namespace {

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

void test_sums() {
  CHECK_EQ(apply<u32>("add.s32", 5u, 0xffffffffu), 4u);
  CHECK_EQ(apply<u16>("add.s16", u16{0x7fff}, u16{1}), 0x8000);
  CHECK_EQ(apply<u16>("sub.u16", u16{0}, u16{1}), 0xffff);
  CHECK_EQ(apply<u64>("add.s64", u64{0xffffffff}, u64{1}), u64{1} << 32);
  CHECK_EQ(apply<u64>("sub.s64", u64{0}, u64{1}), ~u64{0});
  CHECK_EQ(apply<u32>("add.sat.s32", 0x7fffffffu, 1u), 0x7fffffffu);
  CHECK_EQ(apply<u32>("sub.sat.s32", 0x80000000u, 1u), 0x80000000u);
  CHECK_EQ(apply<u32>("add.u16x2", 0xffff0001u, 0x0001ffffu), 0u);
  CHECK_EQ(apply<u32>("neg.s32", 0x80000000u), 0x80000000u);
  CHECK_EQ(apply<u32>("abs.s32", 0xfffffffbu), 5u);
  CHECK_EQ(apply<u32>("abs.s32", 0x80000000u), 0x80000000u);
  CHECK_EQ(apply<u16>("abs.s16", u16{0xffff}), 1);
  CHECK_EQ(apply<u64>("neg.s64", u64{7}), u64(-7));
}

void test_products() {
  CHECK_EQ(apply<u32>("mul.lo.s32", 0x10001u, 0x10001u), 0x20001u);
  CHECK_EQ(apply<u16>("mul.lo.u16", u16{0xffff}, u16{0xffff}), 1);
  CHECK_EQ(apply<u32>("mul.hi.s32", 0xffffffffu, 5u), 0xffffffffu);
  CHECK_EQ(apply<u32>("mul.hi.u32", 0xffffffffu, 5u), 4u);
  CHECK_EQ(apply<u16>("mul.hi.s16", u16{0xffff}, u16{5}), 0xffff);
  CHECK_EQ(apply<u64>("mul.hi.u64", ~u64{0}, ~u64{0}), ~u64{0} - 1);
  CHECK_EQ(apply<u64>("mul.hi.s64", ~u64{0}, ~u64{0}), u64{0});
  CHECK_EQ(apply<u64>("mul.wide.s32", 0xffffffffu, 2u), u64(-2));
  CHECK_EQ(apply<u64>("mul.wide.u32", 0xffffffffu, 2u), u64{0x1fffffffe});
  CHECK_EQ(apply<u32>("mul.wide.s16", u16{0x8000}, u16{0x8000}), 0x40000000u);
  CHECK_EQ(apply<u32>("mul.wide.u16", u16{0xffff}, u16{0xffff}), 0xfffe0001u);
  CHECK_EQ(apply<u32>("mad.lo.s32", 7u, 0xffffffffu, 10u), 3u);
  CHECK_EQ(apply<u32>("mad.hi.u32", 0x80000000u, 4u, 0xffffffffu), 1u);
  CHECK_EQ(apply<u32>("mad.hi.sat.s32", 0x40000000u, 0x40000000u, 0x7fffffffu), 0x7fffffffu);
  CHECK_EQ(apply<u64>("mad.wide.s32", 0xffffffffu, 3u, u64{10}), u64{7});
  CHECK_EQ(apply<u64>("mad.wide.u32", 0xffffffffu, 0xffffffffu, ~u64{0}), u64{0xfffffffe00000000});
  CHECK_EQ(apply<u32>("mul24.lo.s32", 0xff800000u, 2u), 0xff000000u);
  CHECK_EQ(apply<u32>("mul24.lo.u32", 0xff800000u, 2u), 0x01000000u);
  CHECK_EQ(apply<u32>("mul24.hi.u32", 0xffffffu, 0xffffffu), 0xfffffe00u);
  CHECK_EQ(apply<u32>("mad24.lo.u32", 3u, 5u, 7u), 22u);
  CHECK_EQ(apply<u32>("mad24.hi.sat.s32", 0x7fffffu, 0x7fffffu, 0x7fffffffu), 0x7fffffffu);
  CHECK_EQ(apply<u32>("sad.s32", 0x80000000u, 0x7fffffffu, 1u), 0u);
  CHECK_EQ(apply<u32>("sad.u32", 3u, 10u, 100u), 107u);
  CHECK_EQ(apply<u16>("sad.u16", u16{10}, u16{3}, u16{100}), 107);
}

void test_division() {
  CHECK_EQ(apply<u32>("div.s32", u32(-7), 2u), u32(-3));
  CHECK_EQ(apply<u32>("rem.s32", u32(-7), 2u), u32(-1));
  CHECK_EQ(apply<u32>("div.u32", u32(-7), 2u), 0x7ffffffcu);
  CHECK_EQ(apply<u32>("div.s32", 0x80000000u, u32(-1)), 0x80000000u);
  CHECK_EQ(apply<u32>("rem.s32", 0x80000000u, u32(-1)), 0u);
  CHECK_EQ(apply<u64>("div.s64", u64{1} << 63, ~u64{0}), u64{1} << 63);
  CHECK_EQ(apply<u16>("div.u16", u16{0xffff}, u16{16}), 0xfff);
  CHECK_EQ(apply<u16>("rem.s16", u16{0xffff}, u16{16}), 0xffff);
  // No result is defined; what sm_80 code gives was read in SASS.
  CHECK_EQ(apply<u32>("div.u32", 5u, 0u), 0xffffffffu);
  CHECK_EQ(apply<u32>("rem.u32", 5u, 0u), 0xffffffffu);
  CHECK_EQ(apply<u32>("div.s32", 5u, 0u), 0xffffffffu);
  CHECK_EQ(apply<u64>("rem.s64", u64{5}, u64{0}), ~u64{0});
}

void test_min_max() {
  CHECK_EQ(apply<u32>("min.s32", u32(-1), 1u), u32(-1));
  CHECK_EQ(apply<u32>("min.u32", u32(-1), 1u), 1u);
  CHECK_EQ(apply<u16>("max.s16", u16{0x8000}, u16{1}), 1);
  CHECK_EQ(apply<u64>("max.u64", ~u64{0}, u64{1}), ~u64{0});
  CHECK_EQ(apply<u64>("min.s64", ~u64{0}, u64{1}), ~u64{0});
  CHECK_EQ(apply<u32>("min.relu.s32", u32(-5), 3u), 0u);
  CHECK_EQ(apply<u32>("max.relu.s32", u32(-5), 3u), 3u);
  CHECK_EQ(apply<u32>("min.s16x2", 0x00018000u, 0xffff7fffu), 0xffff8000u);
  CHECK_EQ(apply<u32>("max.u16x2", 0x00018000u, 0xffff7fffu), 0xffff8000u);
  CHECK_EQ(apply<u32>("min.relu.s16x2", 0x00058000u, 0x00037fffu), 0x00030000u);
}

void test_dot_products() {
  CHECK_EQ(apply<u32>("dp4a.s32.s32", 0xff020304u, 0x01010101u, 10u), 18u);
  CHECK_EQ(apply<u32>("dp4a.u32.u32", 0xff020304u, 0x01010101u, 10u), 274u);
  CHECK_EQ(apply<u32>("dp4a.s32.u32", 0xff000000u, 0xff000000u, 0u), u32(-255));
  CHECK_EQ(apply<u32>("dp2a.lo.s32.s32", 0xffff0002u, 0x07050302u, 0u), 1u);
  CHECK_EQ(apply<u32>("dp2a.hi.s32.s32", 0xffff0002u, 0x07050302u, 0u), 3u);
  CHECK_EQ(apply<u32>("dp2a.hi.u32.u32", 0xffff0002u, 0x07050302u, 0u), 458755u);
}

// 128-bit arithmetic in 32-bit words, against the compiler's.
void test_carry_chains() {
  Snippet snippet(R"(
    .reg .b32 %a<4>, %b<4>, %s<4>, %d<4>, %m<4>;
    add.cc.u32 %s0, %a0, %b0; addc.cc.u32 %s1, %a1, %b1; addc.cc.u32 %s2, %a2, %b2;
    addc.u32 %s3, %a3, %b3;
    sub.cc.u32 %d0, %a0, %b0; subc.cc.u32 %d1, %a1, %b1; subc.cc.u32 %d2, %a2, %b2;
    subc.u32 %d3, %a3, %b3;
    mul.lo.u32 %m0, %a0, %b0; mul.hi.u32 %m1, %a0, %b0;
    mad.lo.cc.u32 %m1, %a0, %b1, %m1; madc.hi.u32 %m2, %a0, %b1, 0;
    mad.lo.cc.u32 %m1, %a1, %b0, %m1; madc.hi.cc.u32 %m2, %a1, %b0, %m2; addc.u32 %m3, 0, 0;
    mad.lo.cc.u32 %m2, %a1, %b1, %m2; madc.hi.u32 %m3, %a1, %b1, %m3;)");
  uint64_t state = 1;
  const auto next = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    // Runs of ones and zeros make carries travel.
    const auto word = static_cast<u32>(state >> 32);
    return word % 4 == 0 ? 0u : word % 4 == 1 ? 0xffffffffu : word;
  };
  PerLane<u32> a[4], b[4];
  for (int word = 0; word < 4; ++word) {
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      a[word][lane] = next();
      b[word][lane] = next();
    }
    snippet.set("%a" + std::to_string(word), a[word]);
    snippet.set("%b" + std::to_string(word), b[word]);
  }
  snippet.run();
  __extension__ typedef unsigned __int128 Wide;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    Wide x = 0, y = 0;
    for (int word = 3; word >= 0; --word) {
      x = x << 32 | a[word][lane];
      y = y << 32 | b[word][lane];
    }
    const Wide product = static_cast<Wide>(static_cast<u64>(x)) * static_cast<u64>(y);
    const std::pair<const char*, Wide> expected[] = {{"%s", x + y}, {"%d", x - y}, {"%m", product}};
    for (const auto& [name, value] : expected) {
      for (int word = 0; word < 4; ++word) {
        const u32 got = snippet.get<u32>(name + std::to_string(word))[lane];
        CHECK_EQ(got, static_cast<u32>(value >> (32 * word)));
      }
    }
  }
}

// The flag after a subtraction, as an addition sees it, is that there was no borrow: ptxas folds it
// so.
void test_carry_after_borrow() {
  Snippet snippet(R"(
    .reg .b32 %a, %b, %d, %c, %s, %e;
    sub.cc.u32 %d, %a, %b; addc.u32 %c, 0, 0;
    add.cc.u32 %s, %a, %b; subc.u32 %e, 0, 0;)");
  PerLane<u32> a, b;
  a.fill(5);
  b.fill(3);
  a[7] = 3, b[7] = 5;
  a[9] = b[9] = 0x80000000;
  snippet.set("%a", a);
  snippet.set("%b", b);
  snippet.run();
  CHECK_EQ(snippet.get<u32>("%c")[0], 1u);
  CHECK_EQ(snippet.get<u32>("%c")[7], 0u);
  CHECK_EQ(snippet.get<u32>("%c")[9], 1u);
  CHECK_EQ(snippet.get<u32>("%e")[0], ~0u);  // no carry: a borrow
  CHECK_EQ(snippet.get<u32>("%e")[9], 0u);
}

void test_wide_carries() {
  Snippet snippet(R"(
    .reg .b64 %a, %b, %s, %c, %d, %e, %h;
    add.cc.s64 %s, %a, %b; addc.s64 %c, 0, 0; sub.cc.u64 %d, %a, %b; subc.s64 %e, 0, 0;
    mad.hi.cc.s64 %h, %a, %b, %a;)");
  PerLane<u64> a, b;
  a.fill(u64(-2));
  b.fill(3);
  snippet.set("%a", a);
  snippet.set("%b", b);
  snippet.run();
  CHECK_EQ(snippet.get<u64>("%s")[5], 1u);
  CHECK_EQ(snippet.get<u64>("%c")[5], 1u);
  CHECK_EQ(snippet.get<u64>("%d")[5], u64(-5));
  CHECK_EQ(snippet.get<u64>("%e")[5], 0u);
  CHECK_EQ(snippet.get<u64>("%h")[5], u64(-3));  // -1 + -2
}

// addc without .cc leaves the flag as it is, and each lane has its own.
void test_carry_flag() {
  Snippet snippet(R"(.reg .b32 %a, %x, %first, %second;
                     add.cc.u32 %x, %a, %a; addc.u32 %first, 0, 0; addc.u32 %second, 0, 0;)");
  PerLane<u32> a;
  for (int lane = 0; lane < kWarpLanes; ++lane) a[lane] = lane % 3 == 0 ? 0x80000000 : 1;
  snippet.set("%a", a);
  snippet.run();
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    CHECK_EQ(snippet.get<u32>("%first")[lane], lane % 3 == 0 ? 1u : 0u);
    CHECK_EQ(snippet.get<u32>("%second")[lane], lane % 3 == 0 ? 1u : 0u);
  }
}

// A destination that is a source too, and lanes that differ.
void test_lanes() {
  Snippet snippet(".reg .b32 %a, %b; mad.lo.s32 %a, %a, %b, %a;");
  PerLane<u32> a, b;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    a[lane] = static_cast<u32>(lane * 1000003);
    b[lane] = static_cast<u32>(~lane);
  }
  for (const LaneMask active : {kAllLanes, LaneMask{0x00ff10f1}}) {
    snippet.set("%a", a);
    snippet.set("%b", b);
    snippet.run(active);
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      const u32 expected = active >> lane & 1 ? a[lane] * b[lane] + a[lane] : a[lane];
      CHECK_EQ(snippet.get<u32>("%a")[lane], expected);
    }
  }
}

void test_refusals() {
  CHECK(!is_refused("add.s32 %r0, %r1, %r2;"));
  CHECK(is_refused("add.sat.u32 %r0, %r1, %r2;"));
  CHECK(is_refused("add.foo.s32 %r0, %r1, %r2;"));
  CHECK(is_refused("add.s8 %r0, %r1, %r2;"));
  CHECK(is_refused("add.b32 %r0, %r1, %r2;"));
  CHECK(is_refused("mul.lo.b32 %r0, %r1, %r2;"));
  CHECK(is_refused("add %r0, %r1, %r2;"));
  CHECK(is_refused("add.s32 %r0, %r1;"));
  CHECK(is_refused("add.s32 %r0, %r1, %r2, %r3;"));
  CHECK(is_refused("add.s32 %rd0, %r1, %r2;"));
  CHECK(is_refused("add.s32 %r0, %r1, %p2;"));
  CHECK(is_refused("mul.s32 %r0, %r1, %r2;"));
  CHECK(is_refused("mul.wide.s64 %rd0, %rd1, %rd2;"));
  CHECK(is_refused("mad.lo.sat.s32 %r0, %r1, %r2, %r3;"));
  CHECK(is_refused("mad.wide.cc.u32 %rd0, %r1, %r2, %rd3;"));
  CHECK(is_refused("addc.u16 %h0, %h1, %h2;"));
  CHECK(is_refused("neg.u32 %r0, %r1;"));
  CHECK(is_refused("min.relu.u32 %r0, %r1, %r2;"));
  CHECK(is_refused("mul24.lo.u64 %rd0, %rd1, %rd2;"));
  CHECK(is_refused("dp4a.s32 %r0, %r1, %r2, %r3;"));
  CHECK(is_refused("vadd.s32.s32.s32 %r0, %r1, %r2;"));
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  test_sums();
  test_products();
  test_division();
  test_min_max();
  test_dot_products();
  test_carry_chains();
  test_carry_after_borrow();
  test_wide_carries();
  test_carry_flag();
  test_lanes();
  test_refusals();
  return summary();
}
