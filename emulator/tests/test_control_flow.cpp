// Branches, loops and calls: lanes that part, and where they meet.
#include <bit>

#include "tests/check.h"
#include "tests/run_ptx.h"

namespace emulator::test {
namespace {

void test_if_else() {
  const Kernel kernel(R"(
    and.b32 %r3, %r1, 1;
    setp.eq.s32 %p1, %r3, 0;
    @%p1 bra EVEN;
    add.s32 %r2, %r1, 100;
    bra.uni DONE;
  EVEN:
    add.s32 %r2, %r1, 200;
  DONE:
    activemask.b32 %r4;
    setp.ne.s32 %p2, %r4, -1;
    @%p2 add.s32 %r2, %r2, 1000;
  )" + kStoreResult);
  const Run run = kernel(64);
  CHECK(run.finished);
  CHECK_EQ(run.findings.size(), 0);
  for (uint32_t i = 0; i < 64; ++i) CHECK_EQ(run.output[i], i + (i % 2 == 0 ? 200 : 100));
}

// The inner loop runs lane % 4 times, the outer one lane times, with a break.
void test_nested_loops() {
  const Kernel kernel(R"(
    mov.u32 %r2, 0;
    mov.u32 %r5, 0;
    and.b32 %r6, %r1, 3;
  OUTER:
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra END;
    mov.u32 %r7, 0;
  INNER:
    setp.ge.u32 %p2, %r7, %r6;
    @%p2 bra INNER_END;
    add.u32 %r2, %r2, 1;
    add.u32 %r7, %r7, 1;
    bra.uni INNER;
  INNER_END:
    setp.gt.u32 %p3, %r2, 40;
    @%p3 bra END;
    add.u32 %r5, %r5, 1;
    bra.uni OUTER;
  END:
    activemask.b32 %r8;
    popc.b32 %r8, %r8;
    mad.lo.u32 %r2, %r8, 1000, %r2;
  )" + kStoreResult);
  const Run run = kernel(32);
  CHECK(run.finished);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < lane && sum <= 40; ++i) sum += lane % 4;
    CHECK_EQ(run.output[lane], 32000 + sum);
  }
}

// Lanes that have exited are not waited for.
void test_early_exit() {
  const Kernel kernel(R"(
    setp.lt.u32 %p1, %r1, 10;
    @%p1 ret;
    and.b32 %r3, %r1, 1;
    setp.eq.s32 %p2, %r3, 0;
    @%p2 bra SKIP;
    setp.gt.u32 %p3, %r1, 20;
    @%p3 exit;
  SKIP:
    activemask.b32 %r2;
  )" + kStoreResult);
  const Run run = kernel(32);
  CHECK(run.finished);
  uint32_t expected = 0;
  for (uint32_t lane = 10; lane < 32; ++lane) {
    if (lane % 2 == 0 || lane <= 20) expected |= 1u << lane;
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    CHECK_EQ(run.output[lane], expected >> lane & 1 ? expected : 0);
  }
}

void test_indexed_branch() {
  const Kernel kernel(R"(
    and.b32 %r3, %r1, 3;
    mov.u32 %r2, 0;
    ts: .branchtargets L0, L1, L2, L3;
    brx.idx %r3, ts;
  L0: add.u32 %r2, %r2, 1;
  L1: add.u32 %r2, %r2, 10;
      bra.uni END;
  L2: add.u32 %r2, %r2, 100;
  L3: add.u32 %r2, %r2, 1000;
  END:
    activemask.b32 %r8;
    popc.b32 %r8, %r8;
    mad.lo.u32 %r2, %r8, 10000, %r2;
  )" + kStoreResult);
  const Run run = kernel(32);
  CHECK(run.finished);
  constexpr uint32_t kExpected[] = {11, 10, 1100, 1000};
  for (uint32_t lane = 0; lane < 32; ++lane) {
    CHECK_EQ(run.output[lane] % 10000, kExpected[lane % 4]);
    CHECK_EQ(run.output[lane] / 10000, 32);
  }
}

const std::string kFunctions = R"(
.func (.param .b32 twice_ret) twice(.param .b32 twice_in)
{
  .reg .b32 %r<4>;
  .reg .pred %p<2>;
  ld.param.u32 %r1, [twice_in];
  setp.gt.s32 %p1, %r1, 20;
  @%p1 bra BIG;
  shl.b32 %r2, %r1, 1;
  st.param.b32 [twice_ret+0], %r2;
  ret;
BIG:
  mul.lo.s32 %r2, %r1, 20;
  st.param.b32 [twice_ret+0], %r2;
  ret;
}
.func (.param .b32 fib_ret) fib(.param .b32 fib_in)
{
  .reg .b32 %r<9>;
  .reg .pred %p<2>;
  ld.param.u32 %r8, [fib_in];
  setp.lt.s32 %p1, %r8, 2;
  @%p1 bra DONE;
  add.s32 %r4, %r8, -1;
  {
    .param .b32 param0;
    st.param.b32 [param0+0], %r4;
    .param .b32 retval0;
    call.uni (retval0), fib, (param0);
    ld.param.b32 %r5, [retval0+0];
  }
  add.s32 %r6, %r8, -2;
  {
    .param .b32 param0;
    st.param.b32 [param0+0], %r6;
    .param .b32 retval0;
    call.uni (retval0), fib, (param0);
    ld.param.b32 %r7, [retval0+0];
  }
  add.s32 %r8, %r7, %r5;
DONE:
  st.param.b32 [fib_ret+0], %r8;
  ret;
}
.func (.param .b32 odds_ret) odds(.param .b32 odds_in)
{
  .reg .b32 %r<9>;
  .reg .pred %p<3>;
  ld.param.u32 %r1, [odds_in];
  and.b32 %r2, %r1, 1;
  setp.ne.u32 %p1, %r2, 0;
  setp.eq.u32 %p2, %r1, 0;
  @%p2 st.param.b32 [odds_ret+0], %r1;
  @%p2 ret;
  add.s32 %r3, %r1, -1;
  {
    .param .b32 param0;
    st.param.b32 [param0+0], %r3;
    .param .b32 retval0;
    call.uni (retval0), odds, (param0);
    ld.param.b32 %r4, [retval0+0];
  }
  @%p1 add.s32 %r4, %r4, 1;
  st.param.b32 [odds_ret+0], %r4;
  ret;
}
.func (.param .b32 swap_ret) swap(.param .b32 swap_in)
{
  .reg .b32 %r<4>;
  ld.param.u32 %r1, [swap_in];
  shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;
  st.param.b32 [swap_ret+0], %r2;
  ret;
}
)";

std::string call(const std::string& callee, const std::string& suffix = {}) {
  return "{ .param .b32 param0; st.param.b32 [param0+0], %r3; .param .b32 retval0; call "
         "(retval0), " +
         callee + ", (param0)" + suffix + "; ld.param.b32 %r2, [retval0+0]; }\n";
}

const std::string kCountTogether =
    "activemask.b32 %r8; popc.b32 %r8, %r8; mad.lo.u32 %r2, %r8, 100000, %r2;\n";

void test_calls() {
  // Only odd lanes call; within the call some return early.
  const Kernel kernel(
      "and.b32 %r4, %r1, 1; setp.eq.u32 %p1, %r4, 0; mov.u32 %r3, %r1;"
      "mov.u32 %r2, 7; @%p1 bra DONE;" +
          call("twice") + "DONE:" + kCountTogether + kStoreResult,
      kFunctions);
  const Run run = kernel(32);
  CHECK(run.finished);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t called = lane > 20 ? lane * 20 : lane * 2;
    CHECK_EQ(run.output[lane], 3200000 + (lane % 2 == 0 ? 7 : called));
  }
}

void test_recursion() {
  const Kernel kernel("and.b32 %r3, %r1, 7;" + call("fib") + kCountTogether + kStoreResult,
                      kFunctions);
  const Run run = kernel(64);
  CHECK(run.finished);
  constexpr uint32_t kFibonacci[] = {0, 1, 1, 2, 3, 5, 8, 13};
  for (uint32_t i = 0; i < 64; ++i) CHECK_EQ(run.output[i], 3200000 + kFibonacci[i % 8]);
}

// A predicate that is live across a recursive call from which lanes return at different times.
void test_predicates_in_recursion() {
  const Kernel kernel("and.b32 %r3, %r1, 7;" + call("odds") + kStoreResult, kFunctions);
  const Run run = kernel(64);
  CHECK(run.finished);
  for (uint32_t i = 0; i < 64; ++i) CHECK_EQ(run.output[i], (i % 8 + 1) / 2);
}

// Lanes meet in a function that they have called from two places, and return to their own.
void test_meeting_in_a_function() {
  const Kernel kernel(
      "and.b32 %r4, %r1, 1; setp.eq.u32 %p1, %r4, 0; mov.u32 %r3, %r1;"
      "@!%p1 bra ODD;" +
          call("swap") + "add.u32 %r2, %r2, 100; bra.uni DONE;\nODD:" + call("swap") +
          "add.u32 %r2, %r2, 200;\nDONE:" + kCountTogether + kStoreResult,
      kFunctions);
  const Run run = kernel(32);
  CHECK(run.finished);
  CHECK_EQ(run.findings.size(), 0);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    CHECK_EQ(run.output[lane], 3200000 + (lane ^ 1) + (lane % 2 == 0 ? 100 : 200));
  }
}

void test_indirect_calls() {
  const std::string prototype = "proto: .callprototype (.param .b32 _) _ (.param .b32 _);\n";
  const Kernel kernel(
      "and.b32 %r3, %r1, 7; setp.gt.u32 %p1, %r1, 11; mov.u64 %rd4, twice;"
      "@%p1 mov.u64 %rd4, fib;" +
          prototype + call("%rd4", ", proto") + kCountTogether + kStoreResult,
      kFunctions);
  const Run run = kernel(32);
  CHECK(run.finished);
  constexpr uint32_t kFibonacci[] = {0, 1, 1, 2, 3, 5, 8, 13};
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t result = lane > 11 ? kFibonacci[lane % 8] : lane % 8 * 2;
    CHECK_EQ(run.output[lane], 3200000 + result);
  }
}

void test_bad_pointer() {
  const std::string prototype = "proto: .callprototype (.param .b32 _) _ (.param .b32 _);\n";
  const Kernel kernel(
      "mov.u32 %r3, 1; mov.u64 %rd4, 1234;" + prototype + call("%rd4", ", proto") + kStoreResult,
      kFunctions);
  const Run run = kernel(32);
  CHECK(!run.finished);
  CHECK(run.failure == Failure::kTrap);
  CHECK_EQ(run.findings.size(), 1);
}

// One lane of a warp holds a lock that its siblings spin for.
void test_lock_between_lanes() {
  const Kernel kernel(R"(
  LOCK:
    atom.global.cas.b32 %r3, [%rd1], 0, 1;
    setp.ne.s32 %p1, %r3, 0;
    @%p1 bra LOCK;
    ld.volatile.global.u32 %r4, [%rd1+4];
    add.s32 %r4, %r4, 1;
    st.volatile.global.u32 [%rd1+4], %r4;
    membar.gl;
    atom.global.exch.b32 %r5, [%rd1], 0;
    ret;
  )");
  const Run run = kernel(64);
  CHECK(run.finished);
  CHECK_EQ(run.output[1], 64);
}

void test_trap() {
  const Kernel kernel("setp.eq.u32 %p1, %r1, 5; @%p1 trap;" + kStoreResult);
  const Run run = kernel(32);
  CHECK(!run.finished);
  CHECK(run.failure == Failure::kTrap);
  CHECK_EQ(run.findings.size(), 1);
  CHECK(run.findings.at(0).find("trap") != std::string::npos);
}

void test_unknown_instruction() {
  const auto names_it = [](const UnknownInstruction& error) {
    return std::string(error.what()).find("frobnicate.u32 %r2") != std::string::npos;
  };
  CHECK_THROWS(Kernel("frobnicate.u32 %r2, %r1;" + kStoreResult), UnknownInstruction, names_it);
  const auto is_unknown = [](const UnknownInstruction&) { return true; };
  CHECK_THROWS(Kernel("bar.sync.frob 0; ret;"), UnknownInstruction, is_unknown);
  CHECK_THROWS(Kernel("bra NOWHERE; ret;"), UnknownInstruction, is_unknown);
  CHECK_THROWS(Kernel("mov.u32 %r2, %nonsense;" + kStoreResult), UnknownInstruction, is_unknown);
}

void test_counters() {
  const Kernel kernel("and.b32 %r3, %r1, 1; setp.eq.s32 %p1, %r3, 0; @%p1 add.u32 %r2, %r1, 1;" +
                      kStoreResult);
  const Run run = kernel(64, 0, 3);
  CHECK(run.finished);
  for (const Op& op : kernel.program->ops) {
    if (op.source->opcode != "add" || op.guard < 0) continue;
    CHECK_EQ(run.counters.ops[op.id].executions, 2 * 3);
    CHECK_EQ(run.counters.ops[op.id].active_lanes, 2 * 3 * 16);
  }
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  test_if_else();
  test_nested_loops();
  test_early_exit();
  test_indexed_branch();
  test_calls();
  test_recursion();
  test_predicates_in_recursion();
  test_meeting_in_a_function();
  test_indirect_calls();
  test_bad_pointer();
  test_lock_between_lanes();
  test_trap();
  test_unknown_instruction();
  test_counters();
  return summary();
}
