// Barriers, warp-wide instructions, schedules: who waits for whom, and what is said of those that
// wait in vain.
#include <algorithm>
#include <cstdlib>
#include <set>

#include "tests/check.h"
#include "tests/run_ptx.h"

namespace emulator::test {
namespace {

constexpr int kNumSeeds = 20;

bool mentions(const Run& run, const std::string& what) {
  return std::ranges::any_of(
      run.findings, [&](const std::string& text) { return text.find(what) != std::string::npos; });
}

// Each thread reads what the thread 37 further on has written.
void test_barrier() {
  const Kernel kernel(R"(
    .shared .align 4 .b8 buffer[1024];
    shl.b32 %r3, %r1, 2;
    mov.u32 %r4, buffer;
    add.s32 %r5, %r4, %r3;
    st.shared.u32 [%r5], %r1;
    bar.sync 0;
    add.s32 %r6, %r1, 37;
    and.b32 %r6, %r6, 255;
    shl.b32 %r6, %r6, 2;
    add.s32 %r6, %r4, %r6;
    ld.shared.u32 %r2, [%r6];
  )" + kStoreResult);
  for (int seed = 0; seed < kNumSeeds; ++seed) {
    const Run run = kernel(256, seed);
    CHECK(run.finished);
    CHECK_EQ(run.findings.size(), 0);
    for (uint32_t i = 0; i < 256; ++i) CHECK_EQ(run.output[i], (i + 37) % 256);
  }
}

void test_missing_barrier_is_a_race() {
  const Kernel kernel(R"(
    .shared .align 4 .b8 buffer[1024];
    shl.b32 %r3, %r1, 2;
    mov.u32 %r4, buffer;
    add.s32 %r5, %r4, %r3;
    st.shared.u32 [%r5], %r1;
    xor.b32 %r6, %r3, 128;
    add.s32 %r6, %r4, %r6;
    ld.shared.u32 %r2, [%r6];
  )" + kStoreResult);
  bool is_found = true;
  for (int seed = 0; seed < kNumSeeds; ++seed) is_found &= !kernel(64, seed).findings.empty();
  CHECK(is_found);
}

// Warps 0 and 1 meet at barrier 1, warps 2 and 3 at barrier 2; producers arrive at 3, consumers
// wait.
void test_named_barriers() {
  const Kernel kernel(R"(
    .shared .align 4 .b8 buffer[512];
    shl.b32 %r3, %r1, 2;
    mov.u32 %r4, buffer;
    add.s32 %r5, %r4, %r3;
    shr.u32 %r7, %r1, 6;
    add.u32 %r8, %r7, 1;
    bar.sync %r8, 64;
    setp.eq.u32 %p1, %r7, 1;
    @%p1 bra CONSUME;
    st.shared.u32 [%r5], %r1;
    bar.arrive 3, 128;
    ret;
  CONSUME:
    bar.sync 3, 128;
    ld.shared.u32 %r2, [%r5+-256];
  )" + kStoreResult);
  for (int seed = 0; seed < kNumSeeds; ++seed) {
    const Run run = kernel(128, seed);
    CHECK(run.finished);
    CHECK_EQ(run.findings.size(), 0);
    for (uint32_t i = 64; i < 128; ++i) CHECK_EQ(run.output[i], i - 64);
  }
}

void test_barrier_reductions() {
  const Kernel kernel(R"(
    setp.lt.u32 %p1, %r1, 50;
    bar.red.popc.u32 %r2, 0, %p1;
    bar.red.popc.u32 %r3, 0, !%p1;
    mad.lo.u32 %r2, %r3, 1000, %r2;
    bar.red.and.pred %p2, 0, %p1;
    @%p2 add.u32 %r2, %r2, 1000000;
    bar.red.or.pred %p3, 0, %p1;
    @%p3 add.u32 %r2, %r2, 2000000;
    setp.lt.u32 %p4, %r1, 1024;
    bar.red.and.pred %p5, 0, %p4;
    @%p5 add.u32 %r2, %r2, 4000000;
  )" + kStoreResult);
  const Run run = kernel(80);  // the last warp is not full
  CHECK(run.finished);
  for (uint32_t i = 0; i < 80; ++i) CHECK_EQ(run.output[i], 6030050);
}

// Threads, then whole warps, that have exited take no part in barriers.
void test_exited_threads() {
  const Kernel kernel(R"(
    setp.gt.u32 %p1, %r1, 69;
    @%p1 bra END;
    bar.sync 0;
    barrier.sync 1;
    mov.u32 %r2, 1;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd2, %rd1, %rd2;
    st.global.u32 [%rd2], %r2;
  END:
    ret;
  )");
  for (int seed = 0; seed < kNumSeeds; ++seed) {
    const Run run = kernel(128, seed);
    CHECK(run.finished);
    CHECK_EQ(run.findings.size(), 0);
    CHECK_EQ(std::ranges::count(run.output, 1u), 70);
  }
}

// barrier.sync without .aligned: the halves of a warp come to different instructions.
void test_unaligned_barrier() {
  const Kernel kernel(R"(
    and.b32 %r3, %r1, 1;
    setp.eq.u32 %p1, %r3, 0;
    @%p1 bra EVEN;
    barrier.sync 2, 64;
    mov.u32 %r2, 1;
    bra.uni DONE;
  EVEN:
    barrier.sync 2, 64;
    mov.u32 %r2, 2;
  DONE:
  )" + kStoreResult);
  const Run run = kernel(64);
  CHECK(run.finished);
  CHECK_EQ(run.findings.size(), 0);
  for (uint32_t i = 0; i < 64; ++i) CHECK_EQ(run.output[i], i % 2 == 0 ? 2 : 1);
}

void test_divergent_aligned() {
  const std::string text = R"(
    setp.lt.u32 %p1, %r1, 16;
    @%p1 bra SOME;
    bra.uni DONE;
  SOME:
    bar.sync 0;
  DONE:
    mov.u32 %r2, 5;
  )" + kStoreResult;
  const Run run = Kernel(text)(64);
  CHECK_EQ(run.findings.size(), 1);
  CHECK(mentions(run, "divergent-aligned"));
  CHECK(mentions(run, "test.ptx:18"));
  CHECK(mentions(run, "lanes 0-15"));
  CHECK(mentions(run, "lanes 16-31"));
}

void test_guarded_aligned() {
  const Run run =
      Kernel("setp.lt.u32 %p1, %r1, 7; @%p1 bar.sync 0; mov.u32 %r2, 5;" + kStoreResult)(32);
  CHECK_EQ(run.findings.size(), 1);
  CHECK(mentions(run, "divergent-aligned"));
  CHECK(mentions(run, "lanes 0-6"));
  CHECK(run.finished);
  const Run whole =
      Kernel("setp.lt.u32 %p1, %r1, 32; @%p1 bar.sync 0; mov.u32 %r2, 5;" + kStoreResult)(32);
  CHECK_EQ(whole.findings.size(), 0);
}

// Lanes of a member mask wait for each other wherever they come from.
void test_member_masks() {
  const Kernel kernel(R"(
    and.b32 %r3, %r1, 1;
    setp.eq.u32 %p1, %r3, 0;
    mov.u32 %r4, 1431655765;
    @%p1 bra EVEN;
    mov.u32 %r4, -1431655766;
    add.u32 %r5, %r1, 100;
    bra.uni JOIN;
  EVEN:
    add.u32 %r5, %r1, 200;
    setp.gt.u32 %p2, %r1, 15;
    @%p2 bra JOIN;
    add.u32 %r5, %r5, 1000;
  JOIN:
    shfl.sync.bfly.b32 %r2, %r5, 2, 31, %r4;
  )" + kStoreResult);
  const Run run = kernel(32);
  CHECK(run.finished);
  CHECK_EQ(run.findings.size(), 0);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t from = lane ^ 2;
    const uint32_t even = from + (from > 15 ? 200 : 1200);
    CHECK_EQ(run.output[lane], from % 2 == 0 ? even : from + 100);
  }
}

// The halves of a warp meet at two different bar.warp.sync.
void test_warp_barriers_apart() {
  const Kernel kernel(R"(
    setp.lt.u32 %p1, %r1, 16;
    @%p1 bra LOW;
    bar.warp.sync -1;
    mov.u32 %r2, 1;
    bra.uni DONE;
  LOW:
    bar.warp.sync -1;
    mov.u32 %r2, 2;
  DONE:
  )" + kStoreResult);
  const Run run = kernel(32);
  CHECK(run.finished);
  CHECK_EQ(run.findings.size(), 0);
}

// A member mask names lanes that are on their way: nobody need be together, so they come.
void test_lanes_that_run_ahead() {
  const Kernel kernel(R"(
    setp.gt.u32 %p1, %r1, 15;
    @%p1 bra DONE;
    bar.warp.sync -1;
  DONE:
    bar.warp.sync -1;
    mov.u32 %r2, 1;
  )" + kStoreResult);
  const Run run = kernel(32);
  CHECK(run.finished);
  CHECK_EQ(run.findings.size(), 0);
  CHECK_EQ(std::ranges::count(run.output, 1u), 32);
}

void test_lane_outside_its_mask() {
  const Run run = Kernel("vote.sync.ballot.b32 %r2, %p1, 0x0000FFFF;" + kStoreResult)(32);
  CHECK_EQ(run.findings.size(), 1);
  CHECK(mentions(run, "invalid-argument"));
  CHECK(mentions(run, "lanes 16-31"));
}

void test_missing_member() {
  const Run run = Kernel(R"(
    setp.lt.u32 %p1, %r1, 16;
    @%p1 bra LOW;
    bra.uni DONE;
  LOW:
    vote.sync.any.pred %p2, %p1, -1;
    bar.sync 0;
  DONE:
    bar.sync 0;
    mov.u32 %r2, 5;
  )" + kStoreResult)(32);
  CHECK(mentions(run, "divergent-aligned"));
}

void test_deadlock() {
  const Run run = Kernel(R"(
    setp.lt.u32 %p1, %r1, 64;
    @%p1 bra WAIT;
    bar.sync 2, 96;
    ret;
  WAIT:
    bar.sync 1, 128;
    ret;
  )")(96);
  CHECK(!run.finished);
  CHECK(run.failure == Failure::kDeadlock);
  CHECK_EQ(run.findings.size(), 1);
  CHECK(mentions(run, "barrier 1, where 64 of 128 threads have arrived"));
  CHECK(mentions(run, "barrier 2, where 32 of 96 threads have arrived"));
  CHECK(mentions(run, "warp 2"));
  CHECK(mentions(run, ": bar.sync 1, 128"));
}

void test_bad_barriers() {
  CHECK(mentions(Kernel("bar.sync 0, 33; ret;")(32), "multiple of 32, not 33"));
  CHECK(mentions(Kernel("mov.u32 %r2, 16; bar.sync %r2; ret;")(32), "no barrier 16"));
}

// The order in which warps come to a counter depends on the seed, and on nothing else.
void test_seeds() {
  const Kernel kernel("atom.global.add.u32 %r2, [%rd1+4000], 1;" + kStoreResult);
  std::set<std::vector<uint32_t>> orders;
  for (int seed = 0; seed < kNumSeeds; ++seed) {
    const Run run = kernel(256, seed);
    CHECK(run.output == kernel(256, seed).output);
    orders.insert(run.output);
    CHECK_EQ(run.output[1000], 256);
  }
  CHECK(orders.size() > kNumSeeds / 2);
}

// CTAs pass a token from the last to the first: all must be resident.
const std::string kTokenKernel = R"(
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %nctaid.x;
    sub.u32 %r5, %r4, %r3;
    sub.u32 %r5, %r5, 1;
  SPIN:
    ld.acquire.gpu.global.u32 %r6, [%rd1];
    setp.ne.u32 %p1, %r6, %r5;
    @%p1 bra SPIN;
    add.u32 %r6, %r6, 1;
    st.release.gpu.global.u32 [%rd1], %r6;
    ret;
)";

void test_flags_between_ctas() {
  const Run run = Kernel(kTokenKernel)(1, 0, 4);
  CHECK(run.finished);
  CHECK_EQ(run.output[0], 4);
}

void test_timeout() {
  setenv("EMULATOR_TIMEOUT", "0.2", 1);
  const Run run = Kernel(kTokenKernel)(1, 0, 5);  // four may be resident
  unsetenv("EMULATOR_TIMEOUT");
  CHECK(!run.finished);
  CHECK(run.failure == Failure::kDeadlock);
  CHECK(mentions(run, "CTA (3,0,0)"));
  CHECK(mentions(run, "EMULATOR_TIMEOUT"));
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  test_barrier();
  test_missing_barrier_is_a_race();
  test_named_barriers();
  test_barrier_reductions();
  test_exited_threads();
  test_unaligned_barrier();
  test_divergent_aligned();
  test_guarded_aligned();
  test_member_masks();
  test_warp_barriers_apart();
  test_lanes_that_run_ahead();
  test_lane_outside_its_mask();
  test_missing_member();
  test_deadlock();
  test_bad_barriers();
  test_seeds();
  test_flags_between_ctas();
  test_timeout();
  return summary();
}
