// Logic, shifts, bit fields, comparisons, selections and moves against values worked out by hand.
#include <cmath>
#include <limits>

#include "check.h"
#include "memory/global_memory.h"
#include "snippet.h"

namespace emulator::test {
namespace {

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

void test_logic() {
  CHECK_EQ(apply<u32>("and.b32", 0xff00ff00u, 0x12345678u), 0x12005600u);
  CHECK_EQ(apply<u64>("or.b64", u64{1} << 40, u64{2}), (u64{1} << 40) + 2);
  CHECK_EQ(apply<u16>("xor.b16", u16{0xffff}, u16{0x00ff}), 0xff00);
  CHECK_EQ(apply<u16>("not.b16", u16{0x00ff}), 0xff00);
  CHECK_EQ(apply<u32>("cnot.b32", 0u), 1u);
  CHECK_EQ(apply<u32>("cnot.b32", 7u), 0u);
  CHECK_EQ(apply<bool>("and.pred", true, false), false);
  CHECK_EQ(apply<bool>("or.pred", true, false), true);
  CHECK_EQ(apply<bool>("xor.pred", true, true), false);
  CHECK_EQ(apply<bool>("not.pred", false), true);

  // The table is the function's value at 0xF0, 0xCC, 0xAA.
  const u32 a = 0x12345678, b = 0x9abcdef0, c = 0x0f1e2d3c;
  const auto lop3 = [&](const char* table) {
    Snippet snippet(".reg .b32 %a, %b, %c, %d; lop3.b32 %d, %a, %b, %c, " + std::string(table) +
                    ";");
    PerLane<u32> values;
    for (const auto& [name, value] : {std::pair("%a", a), {"%b", b}, {"%c", c}}) {
      values.fill(value);
      snippet.set(name, values);
    }
    snippet.run();
    return snippet.get<u32>("%d")[3];
  };
  CHECK_EQ(lop3("0x80"), a & b & c);
  CHECK_EQ(lop3("0xFE"), a | b | c);
  CHECK_EQ(lop3("0x40"), a & b & ~c);
  CHECK_EQ(lop3("0x1A"), ((a & b) | c) ^ a);
  CHECK_EQ(lop3("0x96"), a ^ b ^ c);
  CHECK_EQ(lop3("0xCA"), (a & b) | (~a & c));
  CHECK_EQ(lop3("0"), 0u);
  CHECK_EQ(lop3("255"), ~0u);
}

void test_lop3_predicate() {
  Snippet snippet(R"(.reg .b32 %a, %b, %c, %d; .reg .pred %p, %q, %r;
                     lop3.and.b32 %d|%p, %a, %b, %c, 0x80, %q;
                     lop3.or.b32 _|%r, %a, %b, %c, 0x80, !%q;)");
  PerLane<u32> a, ones;
  PerLane<bool> q;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    a[lane] = static_cast<u32>(lane % 2);
    q[lane] = lane < 16;
  }
  ones.fill(~0u);
  snippet.set("%a", a);
  snippet.set("%b", ones);
  snippet.set("%c", ones);
  snippet.set("%q", q);
  snippet.run();
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    CHECK_EQ(snippet.get<u32>("%d")[lane], a[lane]);
    CHECK_EQ(snippet.get<bool>("%p")[lane], lane % 2 == 1 && lane < 16);
    CHECK_EQ(snippet.get<bool>("%r")[lane], lane % 2 == 1 || lane >= 16);
  }
}

void test_shifts() {
  CHECK_EQ(apply<u32>("shl.b32", 1u, 31u), 0x80000000u);
  CHECK_EQ(apply<u32>("shl.b32", 1u, 32u), 0u);
  CHECK_EQ(apply<u32>("shl.b32", 1u, 0xffffffffu), 0u);
  CHECK_EQ(apply<u16>("shl.b16", u16{0xffff}, 4u), 0xfff0);
  CHECK_EQ(apply<u64>("shl.b64", u64{1}, 63u), u64{1} << 63);
  CHECK_EQ(apply<u32>("shr.s32", 0x80000000u, 40u), 0xffffffffu);
  CHECK_EQ(apply<u32>("shr.u32", 0x80000000u, 40u), 0u);
  CHECK_EQ(apply<u32>("shr.b32", 0x80000000u, 31u), 1u);
  CHECK_EQ(apply<u16>("shr.s16", u16{0x8000}, 15u), 0xffff);
  CHECK_EQ(apply<u16>("shr.u16", u16{0x8000}, 15u), 1);
  CHECK_EQ(apply<u64>("shr.s64", u64{1} << 63, 64u), ~u64{0});
  CHECK_EQ(apply<u32>("shf.l.wrap.b32", 0x12345678u, 0x9abcdef0u, 36u), 0xabcdef01u);
  CHECK_EQ(apply<u32>("shf.l.clamp.b32", 0x12345678u, 0x9abcdef0u, 36u), 0x12345678u);
  CHECK_EQ(apply<u32>("shf.r.wrap.b32", 0x12345678u, 0x9abcdef0u, 36u), 0x01234567u);
  CHECK_EQ(apply<u32>("shf.r.clamp.b32", 0x12345678u, 0x9abcdef0u, 36u), 0x9abcdef0u);
  CHECK_EQ(apply<u32>("shf.l.wrap.b32", 1u, 2u, 0u), 2u);
}

void test_fields() {
  CHECK_EQ(apply<u32>("bfe.u32", 0x12345678u, 8u, 8u), 0x56u);
  CHECK_EQ(apply<u32>("bfe.s32", 0x00008000u, 8u, 8u), 0xffffff80u);
  CHECK_EQ(apply<u32>("bfe.s32", 0xffffffffu, 5u, 0u), 0u);
  CHECK_EQ(apply<u32>("bfe.s32", 0x80000000u, 28u, 20u), 0xfffffff8u);
  CHECK_EQ(apply<u32>("bfe.u32", 0x80000000u, 28u, 20u), 8u);
  CHECK_EQ(apply<u32>("bfe.s32", 0x80000000u, 40u, 4u), 0xffffffffu);
  CHECK_EQ(apply<u64>("bfe.u64", u64{0xabcd} << 40, 40u, 16u), u64{0xabcd});
  CHECK_EQ(apply<u32>("bfi.b32", 0xffu, 0u, 28u, 8u), 0xf0000000u);
  CHECK_EQ(apply<u32>("bfi.b32", 0u, 0xffffffffu, 4u, 8u), 0xfffff00fu);
  CHECK_EQ(apply<u32>("bfi.b32", 0u, 0x1234u, 4u, 0u), 0x1234u);
  CHECK_EQ(apply<u64>("bfi.b64", u64{5}, u64{0}, 60u, 4u), u64{5} << 60);
  CHECK_EQ(apply<u32>("popc.b32", 0xf0f0u), 8u);
  CHECK_EQ(apply<u32>("popc.b64", ~u64{0}), 64u);
  CHECK_EQ(apply<u32>("clz.b32", 0u), 32u);
  CHECK_EQ(apply<u32>("clz.b64", u64{1}), 63u);
  CHECK_EQ(apply<u32>("brev.b32", 1u), 0x80000000u);
  CHECK_EQ(apply<u64>("brev.b64", u64{2}), u64{1} << 62);
  CHECK_EQ(apply<u32>("bfind.u32", 0u), 0xffffffffu);
  CHECK_EQ(apply<u32>("bfind.u32", 0x10u), 4u);
  CHECK_EQ(apply<u32>("bfind.s32", 0xffffffefu), 4u);
  CHECK_EQ(apply<u32>("bfind.shiftamt.u32", 0x10u), 27u);
  CHECK_EQ(apply<u32>("bfind.shiftamt.u64", u64{0x10}), 59u);
  CHECK_EQ(apply<u32>("bmsk.clamp.b32", 4u, 8u), 0xff0u);
  CHECK_EQ(apply<u32>("bmsk.wrap.b32", 36u, 40u), 0xff0u);
  CHECK_EQ(apply<u32>("szext.wrap.s32", 0xffu, 8u), 0xffffffffu);
  CHECK_EQ(apply<u32>("szext.clamp.u32", 0x1ffu, 8u), 0xffu);
  CHECK_EQ(apply<u32>("szext.clamp.s32", 0x1ffu, 40u), 0x1ffu);
  CHECK_EQ(apply<u32>("fns.b32", 0b10110u, 0u, 2u), 2u);
  CHECK_EQ(apply<u32>("fns.b32", 0b10110u, 4u, u32(-3)), 1u);
  CHECK_EQ(apply<u32>("fns.b32", 0b10110u, 0u, 4u), 0xffffffffu);
}

void test_permute() {
  const u32 a = 0x33221100, b = 0x77665544;
  CHECK_EQ(apply<u32>("prmt.b32", a, b, 0x7531u), 0x77553311u);
  CHECK_EQ(apply<u32>("prmt.b32", 0x00800000u, b, 0x0a02u), 0x00ff0080u);  // byte 2's sign
  CHECK_EQ(apply<u32>("prmt.b32.f4e", a, b, 1u), 0x44332211u);
  CHECK_EQ(apply<u32>("prmt.b32.b4e", a, b, 1u), 0x66770011u);
  CHECK_EQ(apply<u32>("prmt.b32.rc8", a, b, 2u), 0x22222222u);
  CHECK_EQ(apply<u32>("prmt.b32.ecl", a, b, 1u), 0x33221111u);
  CHECK_EQ(apply<u32>("prmt.b32.ecr", a, b, 2u), 0x22221100u);
  CHECK_EQ(apply<u32>("prmt.b32.rc16", a, b, 1u), 0x33223322u);
}

void test_integer_comparisons() {
  CHECK_EQ(apply<bool>("setp.lt.s32", u32(-1), 1u), true);
  CHECK_EQ(apply<bool>("setp.lt.u32", u32(-1), 1u), false);
  CHECK_EQ(apply<bool>("setp.gt.u64", ~u64{0}, u64{1}), true);
  CHECK_EQ(apply<bool>("setp.ge.s16", u16{0xffff}, u16{0}), false);
  CHECK_EQ(apply<bool>("setp.ne.b32", 1u, 2u), true);
  CHECK_EQ(apply<bool>("setp.eq.s64", u64{5}, u64{5}), true);
  CHECK_EQ(apply<bool>("setp.lo.u32", 1u, u32(-1)), true);
  CHECK_EQ(apply<bool>("setp.hs.u32", 1u, 1u), true);
  CHECK_EQ(apply<bool>("setp.ls.u32", 2u, 1u), false);
  CHECK_EQ(apply<bool>("setp.hi.u16", u16{2}, u16{1}), true);
  CHECK_EQ(apply<bool>("setp.lt.and.s32", 1u, 2u, false), false);
  CHECK_EQ(apply<bool>("setp.lt.or.s32", 3u, 2u, true), true);
  CHECK_EQ(apply<bool>("setp.lt.xor.s32", 1u, 2u, true), false);
  CHECK_EQ(apply<u32>("set.lt.u32.s32", 1u, 2u), 0xffffffffu);
  CHECK_EQ(apply<u32>("set.lt.and.f32.s32", 1u, 2u, true), 0x3f800000u);
  CHECK_EQ(apply<u32>("set.gt.f32.s32", 1u, 2u), 0u);
}

void test_float_comparisons() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  struct Case {
    const char* name;
    bool less, equal, greater, unordered;
  };
  for (const Case& c : {Case{"eq", false, true, false, false},
                        {"ne", true, false, true, false},
                        {"lt", true, false, false, false},
                        {"le", true, true, false, false},
                        {"gt", false, false, true, false},
                        {"ge", false, true, true, false},
                        {"equ", false, true, false, true},
                        {"neu", true, false, true, true},
                        {"ltu", true, false, false, true},
                        {"leu", true, true, false, true},
                        {"gtu", false, false, true, true},
                        {"geu", false, true, true, true},
                        {"num", true, true, true, false},
                        {"nan", false, false, false, true}}) {
    const std::string f32 = "setp." + std::string(c.name) + ".f32";
    CHECK_EQ(apply<bool>(f32, 1.0f, 2.0f), c.less);
    CHECK_EQ(apply<bool>(f32, 0.0f, -0.0f), c.equal);
    CHECK_EQ(apply<bool>(f32, 3.0f, 2.0f), c.greater);
    CHECK_EQ(apply<bool>(f32, nan, 2.0f), c.unordered);
    CHECK_EQ(apply<bool>(f32, 2.0f, nan), c.unordered);
    const std::string f64 = "setp." + std::string(c.name) + ".f64";
    CHECK_EQ(apply<bool>(f64, 1.0, 2.0), c.less);
    CHECK_EQ(apply<bool>(f64, double{nan}, 2.0), c.unordered);
    const std::string f16 = "setp." + std::string(c.name) + ".f16";
    CHECK_EQ(apply<bool>(f16, u16{0x3c00}, u16{0x4000}), c.less);
    CHECK_EQ(apply<bool>(f16, u16{0x8000}, u16{0}), c.equal);
    CHECK_EQ(apply<bool>(f16, u16{0x3c00}, u16{0xfe00}), c.unordered);
    const std::string bf16 = "setp." + std::string(c.name) + ".bf16";
    CHECK_EQ(apply<bool>(bf16, u16{0x4000}, u16{0x3f80}), c.greater);
  }
  const float tiny = 1e-40f;
  CHECK_EQ(apply<bool>("setp.gt.f32", tiny, 0.0f), true);
  CHECK_EQ(apply<bool>("setp.gt.ftz.f32", tiny, 0.0f), false);
  CHECK_EQ(apply<bool>("setp.eq.ftz.f16", u16{0x0001}, u16{0x8002}), true);
  CHECK_EQ(apply<u16>("set.lt.f16.f16", u16{0x3c00}, u16{0x4000}), 0x3c00);
  CHECK_EQ(apply<u16>("set.lt.bf16.bf16", u16{0x3f80}, u16{0x4000}), 0x3f80);
  CHECK_EQ(apply<u32>("set.lt.f16x2.f16x2", 0x40003c00u, 0x3c004000u), 0x00003c00u);
  CHECK_EQ(apply<u32>("set.lt.u32.f16x2", 0x3c004000u, 0x40003c00u), 0xffff0000u);
  CHECK_EQ(apply<u32>("set.eq.f32.f32", 1.0f, 1.0f), 0x3f800000u);
  CHECK_EQ(apply<bool>("testp.finite.f32", 1.0f), true);
  CHECK_EQ(apply<bool>("testp.notanumber.f64", double{nan}), true);
  CHECK_EQ(apply<bool>("testp.subnormal.f32", tiny), true);
  CHECK_EQ(apply<bool>("testp.normal.f32", 0.0f), true);
}

void test_predicate_pairs() {
  Snippet snippet(R"(.reg .b32 %a, %b, %h, %i; .reg .pred %p, %q, %c, %l, %u, %s;
                     setp.lt.and.s32 %p|%q, %a, %b, !%c;
                     setp.gt.f16x2 %l|%u, %h, %i;
                     setp.eq.s32 %s|_, %a, 5;)");
  PerLane<u32> a, b, h, i;
  PerLane<bool> c;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    a[lane] = static_cast<u32>(lane);
    c[lane] = lane % 2;
  }
  b.fill(10);
  h.fill(0x40003c00);
  i.fill(0x3c003c00);
  snippet.set("%a", a);
  snippet.set("%b", b);
  snippet.set("%c", c);
  snippet.set("%h", h);
  snippet.set("%i", i);
  snippet.run();
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    CHECK_EQ(snippet.get<bool>("%p")[lane], lane < 10 && lane % 2 == 0);
    CHECK_EQ(snippet.get<bool>("%q")[lane], lane >= 10 && lane % 2 == 0);
    CHECK_EQ(snippet.get<bool>("%l")[lane], false);
    CHECK_EQ(snippet.get<bool>("%u")[lane], true);
    CHECK_EQ(snippet.get<bool>("%s")[lane], lane == 5);
  }
}

void test_selections() {
  CHECK_EQ(apply<u32>("selp.b32", 1u, 2u, true), 1u);
  CHECK_EQ(apply<u64>("selp.u64", u64{1}, u64{2}, false), u64{2});
  CHECK_EQ(apply<float>("selp.f32", 1.0f, 2.0f, false), 2.0f);
  CHECK_EQ(apply<u16>("selp.b16", u16{7}, u16{8}, true), 7);
  CHECK_EQ(apply<u32>("slct.b32.s32", 1u, 2u, u32(-1)), 2u);
  CHECK_EQ(apply<u32>("slct.b32.s32", 1u, 2u, 0u), 1u);
  CHECK_EQ(apply<u64>("slct.u64.f32", u64{1}, u64{2}, -0.0f), u64{1});
  CHECK_EQ(apply<u64>("slct.u64.f32", u64{1}, u64{2}, -1e-40f), u64{2});
  CHECK_EQ(apply<u64>("slct.ftz.u64.f32", u64{1}, u64{2}, -1e-40f), u64{1});
  CHECK_EQ(apply<u32>("slct.b32.f32", 1u, 2u, std::nanf("")), 2u);
}

void test_moves() {
  CHECK_EQ(apply<u32>("mov.b32", 0xdeadbeefu), 0xdeadbeefu);
  CHECK_EQ(apply<u64>("mov.u64", u64{1} << 50), u64{1} << 50);
  CHECK_EQ(apply<float>("mov.f32", 1.5f), 1.5f);
  CHECK_EQ(apply<u16>("mov.b16", u16{0xffff}), 0xffff);
  CHECK_EQ(apply<bool>("mov.pred", true), true);
  Snippet snippet(R"(.reg .b16 %h<6>; .reg .b32 %r<8>; .reg .b64 %d<6>; .reg .b128 %q<2>;
                     mov.b32 {%h0, %h1}, %r0;
                     mov.b32 %r1, {%h1, %h0};
                     mov.b64 %d0, {%r0, %r1};
                     mov.b64 {_, %r2}, %d0;
                     mov.b64 {%h2, %h3, %h4, %h5}, %d0;
                     mov.b64 %d1, {%h5, %h4, %h3, %h2};
                     mov.b128 %q0, {%d0, %d1};
                     mov.b128 %q1, %q0;
                     mov.b128 {%r3, %r4, %r5, %r6}, %q1;
                     mov.b128 {%d2, %d3}, %q1;
                     mov.b32 %r7, -2; mov.b64 %d4, -2;)");
  PerLane<u32> r0;
  r0.fill(0x22221111);
  snippet.set("%r0", r0);
  snippet.run();
  CHECK_EQ(snippet.get<u16>("%h0")[9], 0x1111);
  CHECK_EQ(snippet.get<u16>("%h1")[9], 0x2222);
  CHECK_EQ(snippet.get<u32>("%r1")[9], 0x11112222u);
  CHECK_EQ(snippet.get<u64>("%d0")[9], u64{0x1111222222221111});
  CHECK_EQ(snippet.get<u32>("%r2")[9], 0x11112222u);
  CHECK_EQ(snippet.get<u64>("%d1")[9], u64{0x1111222222221111});
  CHECK_EQ(snippet.get<u32>("%r4")[9], 0x11112222u);
  CHECK_EQ(snippet.get<u32>("%r5")[9], 0x22221111u);
  CHECK_EQ(snippet.get<u64>("%d3")[9], u64{0x1111222222221111});
  CHECK_EQ(snippet.get<u32>("%r7")[9], u32(-2));
  CHECK_EQ(snippet.get<u64>("%d4")[9], u64(-2));
}

void test_addresses() {
  CHECK_EQ(apply<u64>("cvta.shared.u64", u64{16}), kSharedWindow + 16);
  CHECK_EQ(apply<u64>("cvta.to.shared.u64", kSharedWindow + 16), u64{16});
  CHECK_EQ(apply<u64>("cvta.local.u64", u64{8}), kLocalWindow + 8);
  CHECK_EQ(apply<u64>("cvta.to.local.u64", kLocalWindow + 8), u64{8});
  CHECK_EQ(apply<u64>("cvta.param.u64", u64{8}), kParamWindow + 8);
  CHECK_EQ(apply<u64>("cvta.to.global.u64", u64{0x7f0000001000}), u64{0x7f0000001000});
  CHECK_EQ(apply<bool>("isspacep.shared", kSharedWindow + 16), true);
  CHECK_EQ(apply<bool>("isspacep.shared", kLocalWindow + 16), false);
  CHECK_EQ(apply<bool>("isspacep.global", u64{0x7f0000001000}), true);
  CHECK_EQ(apply<bool>("isspacep.global", kParamWindow), true);
  CHECK_EQ(apply<bool>("isspacep.global", kLocalWindow), false);
  Snippet snippet(R"(.shared .align 4 .b8 first[64]; .shared .align 4 .b8 second[64];
                     .reg .b64 %d<3>; .reg .b32 %r0; .reg .pred %p;
                     mov.b64 %d0, second; cvta.shared.u64 %d1, %d0; mov.b32 %r0, second;
                     isspacep.shared %p, %d1; cvta.to.shared.u64 %d2, %d1;)");
  snippet.run();
  CHECK(snippet.get<u64>("%d0")[0] >= 64);
  CHECK_EQ(snippet.get<u64>("%d1")[0], kSharedWindow + snippet.get<u64>("%d0")[0]);
  CHECK_EQ(snippet.get<u32>("%r0")[0], snippet.get<u64>("%d0")[0]);
  CHECK_EQ(snippet.get<bool>("%p")[0], true);
  CHECK_EQ(snippet.get<u64>("%d2")[0], snippet.get<u64>("%d0")[0]);
}

void test_refusals() {
  CHECK(is_refused("and.u32 %r0, %r1, %r2;"));
  CHECK(is_refused("shl.s32 %r0, %r1, %r2;"));
  CHECK(is_refused("shf.l.b32 %r0, %r1, %r2, %r3;"));
  CHECK(is_refused("lop3.b32 %r0, %r1, %r2, %r3, %r4;"));
  CHECK(is_refused("lop3.xor.b32 %r0|%p0, %r1, %r2, %r3, 1, %p1;"));
  CHECK(is_refused("prmt.b32.xyz %r0, %r1, %r2, %r3;"));
  CHECK(is_refused("setp.lo.s32 %p0, %r1, %r2;"));
  CHECK(is_refused("setp.lt.b32 %p0, %r1, %r2;"));
  CHECK(is_refused("setp.ltu.s32 %p0, %r1, %r2;"));
  CHECK(is_refused("setp.lt.ftz.f64 %p0, %fd1, %fd2;"));
  CHECK(is_refused("setp.lt.and.s32 %p0, %r1, %r2;"));
  CHECK(is_refused("set.lt.u16.f32 %h0, %f1, %f2;"));
  CHECK(is_refused("bfe.u16 %h0, %h1, %r2, %r3;"));
  CHECK(is_refused("popc.u32 %r0, %r1;"));
  CHECK(is_refused("mov.b32 {%h0, %h1, %h2}, %r1;"));
  CHECK(is_refused("mov.f16 %h0, %h1, %h2;"));
  CHECK(is_refused("cvta.shared.u32 %r0, %r1;"));
  CHECK(is_refused("cvta.shared::cluster.u64 %rd0, %rd1;"));
  CHECK(is_refused("isspacep.const %p0, %rd1;"));
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  test_logic();
  test_lop3_predicate();
  test_shifts();
  test_fields();
  test_permute();
  test_integer_comparisons();
  test_float_comparisons();
  test_predicate_pairs();
  test_selections();
  test_moves();
  test_addresses();
  test_refusals();
  return summary();
}
