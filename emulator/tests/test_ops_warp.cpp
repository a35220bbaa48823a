// shfl, vote, match, redux, mma and movmatrix.
#include <algorithm>
#include <cmath>

#include "check.h"
#include "report/findings.h"
#include "snippet.h"

namespace emulator::test {
namespace {

using u32 = uint32_t;
using u64 = uint64_t;

PerLane<u32> numbered(u32 first = 100) {
  PerLane<u32> values;
  for (int lane = 0; lane < kWarpLanes; ++lane) values[lane] = first + static_cast<u32>(lane);
  return values;
}

struct Shuffled {
  PerLane<u32> values;
  PerLane<bool> in_range;
};

Shuffled shuffle(const std::string& mode, const std::string& b, const std::string& c,
                 LaneMask active = kAllLanes) {
  Snippet snippet(".reg .b32 %a; .reg .pred %p; shfl.sync." + mode + ".b32 %a|%p, %a, " + b + ", " +
                  c + ", -1;");
  snippet.set("%a", numbered());
  snippet.set("%p", PerLane<bool>{});
  snippet.run(active);
  return {snippet.get<u32>("%a"), snippet.get<bool>("%p")};
}

// __shfl_*_sync passes c = (32 - width) << 8 | 31, for up (32 - width) << 8.
void test_shfl() {
  const Shuffled index = shuffle("idx", "35", "31"), rotated = shuffle("idx", "2", "0x181f");
  const Shuffled up = shuffle("up", "3", "0"), up_in_16 = shuffle("up", "3", "0x1000");
  const Shuffled down = shuffle("down", "3", "31"), down_in_16 = shuffle("down", "3", "0x101f");
  const Shuffled butterfly = shuffle("bfly", "5", "31"), clamped = shuffle("bfly", "16", "0x0f");
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto value = [](int source) { return static_cast<u32>(100 + source); };
    CHECK_EQ(index.values[lane], value(3));
    CHECK(index.in_range[lane]);
    CHECK_EQ(rotated.values[lane], value(lane / 8 * 8 + 2));
    CHECK_EQ(up.values[lane], value(lane >= 3 ? lane - 3 : lane));
    CHECK_EQ(up.in_range[lane], lane >= 3);
    CHECK_EQ(up_in_16.values[lane], value(lane % 16 >= 3 ? lane - 3 : lane));
    CHECK_EQ(up_in_16.in_range[lane], lane % 16 >= 3);
    CHECK_EQ(down.values[lane], value(lane < 29 ? lane + 3 : lane));
    CHECK_EQ(down.in_range[lane], lane < 29);
    CHECK_EQ(down_in_16.values[lane], value(lane % 16 < 13 ? lane + 3 : lane));
    CHECK_EQ(butterfly.values[lane], value(lane ^ 5));
    CHECK_EQ(clamped.values[lane], value(lane < 16 ? lane : lane - 16));
    CHECK_EQ(clamped.in_range[lane], lane >= 16);
  }
  const Shuffled partial = shuffle("idx", "1", "31", 0xfffffff0);
  CHECK_EQ(partial.values[0], 100u);
  CHECK(!partial.in_range[0]);
  CHECK_EQ(partial.values[9], 109u);  // lane 1 takes no part
  Snippet plain(".reg .b32 %a, %d; shfl.sync.bfly.b32 %d, %a, 1, 31, -1;");
  plain.set("%a", numbered());
  plain.run();
  CHECK_EQ(plain.get<u32>("%d")[6], 107u);
}

void test_vote() {
  Snippet snippet(R"(.reg .pred %p, %all, %any, %uni, %none; .reg .b32 %m, %b, %n;
                     vote.sync.all.pred %all, %p, %m; vote.sync.any.pred %any, %p, %m;
                     vote.sync.uni.pred %uni, %p, %m; vote.sync.all.pred %none, !%p, %m;
                     vote.sync.ballot.b32 %b, %p, %m; vote.sync.ballot.b32 %n, !%p, %m;)");
  // Three groups: lanes 0-7 all true, 8-15 mixed, 16-31 all false.
  PerLane<u32> masks;
  PerLane<bool> p;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    masks[lane] = lane < 8 ? 0xffu : lane < 16 ? 0xff00u : 0xffff0000u;
    p[lane] = lane < 12;
  }
  snippet.set("%p", p);
  snippet.set("%m", masks);
  snippet.run();
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    CHECK_EQ(snippet.get<bool>("%all")[lane], lane < 8);
    CHECK_EQ(snippet.get<bool>("%any")[lane], lane < 16);
    CHECK_EQ(snippet.get<bool>("%uni")[lane], lane < 8 || lane >= 16);
    CHECK_EQ(snippet.get<bool>("%none")[lane], lane >= 16);
    CHECK_EQ(snippet.get<u32>("%b")[lane], lane < 8 ? 0xffu : lane < 16 ? 0x0f00u : 0u);
    CHECK_EQ(snippet.get<u32>("%n")[lane], lane < 8 ? 0u : lane < 16 ? 0xf000u : 0xffff0000u);
  }
  snippet.run(0x0000f0f0);  // those not there do not count
  CHECK_EQ(snippet.get<u32>("%b")[4], 0xf0u);
  CHECK_EQ(snippet.get<bool>("%all")[4], true);
  CHECK_EQ(snippet.get<bool>("%uni")[12], true);
}

void test_match() {
  Snippet snippet(R"(.reg .b32 %a, %any, %all; .reg .b64 %d; .reg .b32 %wide, %same;
                     .reg .pred %p, %q;
                     match.any.sync.b32 %any, %a, -1; match.all.sync.b32 %all|%p, %a, -1;
                     match.any.sync.b64 %wide, %d, -1; match.all.sync.b64 %same|%q, %d, -1;)");
  PerLane<u32> a;
  PerLane<u64> d;
  for (int lane = 0; lane < kWarpLanes; ++lane) a[lane] = static_cast<u32>(lane % 4);
  d.fill(u64{1} << 40);
  snippet.set("%a", a);
  snippet.set("%d", d);
  snippet.run();
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    CHECK_EQ(snippet.get<u32>("%any")[lane], 0x11111111u << (lane % 4));
    CHECK_EQ(snippet.get<u32>("%all")[lane], 0u);
    CHECK_EQ(snippet.get<bool>("%p")[lane], false);
    CHECK_EQ(snippet.get<u32>("%wide")[lane], ~0u);
    CHECK_EQ(snippet.get<u32>("%same")[lane], ~0u);
    CHECK_EQ(snippet.get<bool>("%q")[lane], true);
  }
  snippet.run(0x11111111);
  CHECK_EQ(snippet.get<u32>("%all")[0], 0x11111111u);
  CHECK_EQ(snippet.get<bool>("%p")[4], true);
}

void test_redux() {
  Snippet snippet(R"(.reg .b32 %a, %m, %add, %min, %max, %umin, %and, %or, %xor, %active;
                     redux.sync.add.s32 %add, %a, %m; redux.sync.min.s32 %min, %a, %m;
                     redux.sync.max.s32 %max, %a, %m; redux.sync.min.u32 %umin, %a, %m;
                     redux.sync.and.b32 %and, %a, %m; redux.sync.or.b32 %or, %a, %m;
                     redux.sync.xor.b32 %xor, %a, %m; activemask.b32 %active;)");
  PerLane<u32> a, masks;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    a[lane] = static_cast<u32>(lane < 16 ? lane - 4 : 16 + lane);
    masks[lane] = lane < 16 ? 0xffffu : 0xffff0000u;
  }
  snippet.set("%a", a);
  snippet.set("%m", masks);
  snippet.run();
  CHECK_EQ(snippet.get<u32>("%add")[3], 56u);  // sum of -4 to 11
  CHECK_EQ(snippet.get<u32>("%min")[15], u32(-4));
  CHECK_EQ(snippet.get<u32>("%max")[0], 11u);
  CHECK_EQ(snippet.get<u32>("%umin")[0], 0u);
  CHECK_EQ(snippet.get<u32>("%add")[31], 632u);  // sum of 32 to 47
  CHECK_EQ(snippet.get<u32>("%and")[31], 32u);
  CHECK_EQ(snippet.get<u32>("%or")[31], 47u);
  CHECK_EQ(snippet.get<u32>("%xor")[31], 0u);
  snippet.run(0x00000300);
  CHECK_EQ(snippet.get<u32>("%add")[8], 9u);
  CHECK_EQ(snippet.get<u32>("%active")[8], 0x300u);
  CHECK_EQ(snippet.get<u32>("%active")[7], ~0u);
}

constexpr u32 kOnes = 0x3c003c00;  // two halves

// All elements 1: each element of D is K + C, whatever the layout.
void test_mma() {
  Snippet snippet(R"(.reg .b32 %a, %c<4>, %d<4>, %e<4>; .reg .b64 %x, %y<2>, %z<2>;
    mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
      {%d0, %d1, %d2, %d3}, {%a, %a, %a, %a}, {%a, %a}, {%c0, %c1, %c2, %c3};
    mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
      {%c0, %c1, %c2, %c3}, {%a, %a, %a, %a}, {%a, %a}, {%c0, %c1, %c2, %c3};
    mov.b32 %e0, %a;
    mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32
      {%e0, %e1, %e2, %e3}, {%a, %e0}, {%a}, {%c0, %c1, %c2, %c3};
    mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%z0, %z1}, {%x}, {%x}, {%y0, %y1};)");
  PerLane<u32> a;
  PerLane<float> c;
  PerLane<double> x, y;
  a.fill(kOnes);
  c.fill(0.5f);
  x.fill(3);
  y.fill(0.25);
  snippet.set("%a", a);
  for (int i = 0; i < 4; ++i) snippet.set("%c" + std::to_string(i), c);
  snippet.set("%x", x);
  snippet.set("%y0", y);
  snippet.set("%y1", y);
  snippet.run();
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    for (const char* i : {"0", "1", "2", "3"}) {
      CHECK_EQ(snippet.get<float>(std::string("%d") + i)[lane], 16.5f);
      CHECK_EQ(snippet.get<float>(std::string("%c") + i)[lane], 16.5f);
      CHECK_EQ(snippet.get<float>(std::string("%e") + i)[lane], 24.5f);
    }
    CHECK_EQ(snippet.get<double>("%z0")[lane], 36.25);
    CHECK_EQ(snippet.get<double>("%z1")[lane], 36.25);
  }
}

// D in the registers of C, in another order.
void test_mma_in_place() {
  Snippet snippet(R"(.reg .b32 %a, %d<4>, %e<4>;
    mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32
      {%e0, %e1, %e2, %e3}, {%a, %a}, {%a}, {%d0, %d1, %d2, %d3};
    mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32
      {%d0, %d1, %d2, %d3}, {%a, %a}, {%a}, {%d3, %d2, %d1, %d0};)");
  PerLane<u32> ones;
  ones.fill(0x01010101);
  snippet.set("%a", ones);
  for (u32 i = 0; i < 4; ++i) snippet.set("%d" + std::to_string(i), numbered(1000 * i));
  snippet.set("%e1", numbered(5));
  constexpr LaneMask kSomeLanes = 0x0000ffff;
  snippet.run(kSomeLanes);
  for (u32 i = 0; i < 4; ++i) {
    const PerLane<u32> d = snippet.get<u32>("%d" + std::to_string(i));
    CHECK_EQ(d[5], 1000 * (3 - i) + 5 + 16);
    CHECK_EQ(d[20], 1000 * i + 20);
  }
  CHECK_EQ(snippet.get<u32>("%e1")[5], 1000u + 5 + 16);
  CHECK_EQ(snippet.get<u32>("%e1")[20], 25u);
  for (u32 i = 0; i < 4; ++i) snippet.set("%d" + std::to_string(i), numbered(1000 * i));
  snippet.run();
  for (u32 i = 0; i < 4; ++i) {
    CHECK_EQ(snippet.get<u32>("%d" + std::to_string(i))[20], 1000 * (3 - i) + 20 + 16);
  }
}

void test_sparse_mma() {
  clear_findings();
  const std::string instruction =
      "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%d0, %d1, %d2, "
      "%d3}, "
      "{%a, %a, %a, %a}, {%b, %b, %b, %b}, {%c, %c, %c, %c}, %e, 0;";
  Snippet snippet(".reg .b32 %a, %b, %c, %d<4>, %e;" + instruction);
  const auto run = [&](u32 value_of_a, u32 metadata) {
    PerLane<u32> a, b, c, e;
    a.fill(value_of_a);
    b.fill(kOnes);
    c.fill(0);
    e.fill(metadata);
    snippet.set("%a", a);
    snippet.set("%b", b);
    snippet.set("%c", c);
    snippet.set("%e", e);
    snippet.run();
    return snippet.get<float>("%d2")[17];
  };
  CHECK_EQ(run(kOnes, 0x44444444), 16.0f);
  CHECK_EQ(num_findings(), 0);
  CHECK_EQ(run(0, 0x44444440), 0.0f);  // a note
  CHECK_EQ(num_findings(), 0);
  run(kOnes, 0x44444440);
  CHECK_EQ(num_findings(), 1);
  CHECK(!finding_texts().empty() &&
        finding_texts().front().find("metadata nibble 0x0") != std::string::npos);
  clear_findings();
}

void test_movmatrix() {
  // Lane 4 * row + pair holds columns 2 * pair and 2 * pair + 1 of the row.
  Snippet snippet(".reg .b32 %a; movmatrix.sync.aligned.m8n8.trans.b16 %a, %a;");
  const auto element = [](int row, int column) { return static_cast<u32>(row * 16 + column); };
  PerLane<u32> a;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    a[lane] = element(lane / 4, lane % 4 * 2 + 1) << 16 | element(lane / 4, lane % 4 * 2);
  }
  snippet.set("%a", a);
  snippet.run();
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    CHECK_EQ(snippet.get<u32>("%a")[lane],
             element(lane % 4 * 2 + 1, lane / 4) << 16 | element(lane % 4 * 2, lane / 4));
  }
}

void test_sync_marks() {
  Snippet snippet(R"(.reg .b32 %a<4>, %m; .reg .pred %p;
                     vote.sync.any.pred %p, %p, %m; shfl.sync.idx.b32 %a0, %a0, 0, 31, %m;
                     movmatrix.sync.aligned.m8n8.trans.b16 %a0, %a0;)");
  CHECK(snippet.ops()[0].sync_mask >= 0);
  CHECK_EQ(snippet.ops()[0].sync_mask, snippet.ops()[1].sync_mask);
  CHECK(!snippet.ops()[1].aligned);
  CHECK(snippet.ops()[2].aligned);
}

void test_refusals() {
  CHECK(is_refused("shfl.idx.b32 %r0, %r1, 0, 31;"));
  CHECK(is_refused("shfl.sync.idx.b64 %rd0, %rd1, 0, 31, -1;"));
  CHECK(is_refused("vote.sync.all.b32 %r0, %p1, -1;"));
  CHECK(is_refused("vote.all.pred %p0, %p1;"));
  CHECK(is_refused("match.any.b32 %r0, %r1;"));
  CHECK(is_refused("redux.sync.and.s32 %r0, %r1, -1;"));
  CHECK(is_refused("redux.sync.min.f32 %f0, %f1, -1;"));
  CHECK(is_refused("elect.sync %r0|%p0, -1;"));
  CHECK(
      is_refused("mma.sync.aligned.m16n8k64.row.col.f32.f16.f16.f32 {%r0}, {%r1}, {%r2}, {%r3};"));
  CHECK(
      is_refused("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%r0, %r1, %r2}, {%r4, %r5}, "
                 "{%r6}, {%r0, %r1, %r2, %r3};"));
  CHECK(is_refused("movmatrix.sync.aligned.m8n8.b16 %r0, %r1;"));
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  test_shfl();
  test_vote();
  test_match();
  test_redux();
  test_mma();
  test_mma_in_place();
  test_sparse_mma();
  test_movmatrix();
  test_sync_marks();
  test_refusals();
  return summary();
}
