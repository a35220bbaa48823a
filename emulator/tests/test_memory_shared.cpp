// Shared memory: bounds, what was written, races among warps, atomics and flags.
#include "memory/shared_shadow.h"
#include "tests/check.h"
#include "tests/memory_kernel.h"

using namespace emulator;
using namespace emulator::test;

namespace {

constexpr const char* kShared = ".shared .align 16 .b8 a[512]; .shared .align 4 .b8 b[12];\n";

uint32_t offset_of(MemoryKernel& kernel, std::string_view name) {
  for (const Placement& placement : kernel.program().shared) {
    if (placement.variable->name == name) return static_cast<uint32_t>(placement.address);
  }
  throw std::out_of_range(std::string(name));
}

void test_bounds() {
  MemoryKernel kernel(
      std::string(kShared) +
      "st.shared.u32 [r0], r1;\nld.shared.u32 r2, [r0];\nld.shared.v2.u32 {r2, r3}, [r0];\n"
      "ld.u32 r2, [rd0];");
  const uint32_t b = offset_of(kernel, "b");
  kernel.set("r1", [](int lane) { return 100u + lane; });
  kernel.set("r0", [&](int lane) { return b + 4 * lane; });
  kernel.step(0, 0, 0x7);
  kernel.step(1, 0, 0x7);
  CHECK_EQ(take_findings(), std::string());
  CHECK_EQ(kernel.get<uint32_t>("r2", 2), 102);
  kernel.step(1, 0, 0xF);
  CHECK(is_only(take_findings(), "out-of-bounds", {"lane 3]", "b+12"}));
  CHECK_EQ(kernel.get<uint32_t>("r2", 3), 0);
  kernel.set("r0", [&](int) { return b - 4; });  // behind a
  kernel.step(0);
  CHECK(is_only(take_findings(), "out-of-bounds", {"a+"}));
  kernel.set("r0", [&](int lane) { return lane == 9 ? 0x7FFFFFFCu : b; });
  kernel.step(1);
  CHECK(is_only(take_findings(), "out-of-bounds", {"lane 9]", "beyond the end"}));
  kernel.set("r0", [&](int) { return b + 4; });
  kernel.step(2);
  CHECK(is_only(take_findings(), "misaligned", {"no multiple of 8"}) || b % 8 != 0);
  kernel.set("rd0", [&](int) { return kSharedWindow + b + 8; });
  kernel.step(3);
  CHECK_EQ(take_findings(), std::string());
  CHECK_EQ(kernel.get<uint32_t>("r2", 17), 102);
}

void test_dynamic_bounds() {
  MemoryKernel kernel("st.shared.u8 [r0], r1;", 1, 1001);
  kernel.set("r0", [&](int lane) { return 969u + lane; });
  kernel.step(0);
  CHECK_EQ(take_findings(), std::string());
  kernel.set("r0", [&](int lane) { return 970u + lane; });
  kernel.step(0);
  CHECK(is_only(take_findings(), "out-of-bounds",
                {"1 bytes beyond the end of the CTA's 1001 bytes"}));
}

void test_uninitialised() {
  MemoryKernel kernel(std::string(kShared) +
                      "st.shared.u16 [r0], h0;\nld.shared.u32 r2, [r0];\nld.shared.u16 h1, [r0];");
  kernel.set("r0", [&](int lane) { return 4u * lane; });
  kernel.step(1);
  CHECK(is_only(take_findings(), "uninitialised-read", {"a+0"}));
  kernel.step(0);
  kernel.step(2);
  CHECK_EQ(take_findings(), std::string());
  kernel.step(1);
  CHECK(is_only(take_findings(), "uninitialised-read", {"lanes 0-31"}));
}

// One write and one read or write by another warp, with and without a barrier.
void test_two_warps(bool first_writes, bool second_writes, bool with_barrier, int bytes) {
  const std::string type = bytes == 2 ? "u16" : "u32", reg = bytes == 2 ? "h1" : "r1";
  MemoryKernel kernel(kShared + ("st.shared." + type + " [r0], " + reg) + ";\nld.shared." + type +
                          " " + reg + ", [r0];",
                      2);
  for (int warp : {0, 1}) kernel.set("r0", [&](int lane) { return uint32_t(bytes * lane); }, warp);
  kernel.step(0, 0);
  kernel.barrier({0, 1});
  CHECK_EQ(take_findings(), std::string());
  kernel.step(first_writes ? 0 : 1, 0);
  if (with_barrier) kernel.barrier({0, 1});
  kernel.step(second_writes ? 0 : 1, 1);
  const std::string found = take_findings();
  const bool races = !with_barrier && (first_writes || second_writes);
  if (races) {
    CHECK(is_only(
        found, "race",
        {second_writes ? "write of" : "read of",
         first_writes ? "a write by warp 0" : "a read by warp 0", "no barrier", "against"}));
  } else {
    CHECK_EQ(found, std::string());
  }
}

void test_own_accesses() {
  MemoryKernel kernel(
      std::string(kShared) +
          "st.shared.u32 [r0], r1;\nld.shared.u32 r1, [r0];\nst.shared.u32 [r0], r1;",
      2);
  kernel.set("r0", [&](int lane) { return 4u * lane; });
  for (int round = 0; round < 3; ++round) {
    for (int i : {0, 1, 2, 1, 1, 0, 2}) kernel.step(i);
  }
  CHECK_EQ(take_findings(), std::string());
}

// 0 writes for 1 to read, 1 gives the place back: named barriers in turn. The third warp has no
// part.
void test_ring(bool forgets_release) {
  MemoryKernel kernel(std::string(kShared) + "st.shared.u32 [r0], r1;\nld.shared.u32 r1, [r0];", 4);
  for (int warp = 0; warp < 4; ++warp) kernel.set("r0", [&](int lane) { return 4u * lane; }, warp);
  for (int round = 0; round < 5; ++round) {
    kernel.step(0, 0);
    kernel.barrier({0, 1, 2});
    kernel.step(1, 1);
    kernel.step(1, 2);
    kernel.barrier({3});
    if (round < 4 || !forgets_release) kernel.barrier({0, 1, 2});
  }
  CHECK_EQ(take_findings(), std::string());
  kernel.step(0, 0);
  const std::string found = take_findings();
  if (forgets_release) {
    CHECK(is_only(found, "race", {"a read by warp 1"}));
  } else {
    CHECK_EQ(found, std::string());
  }
  kernel.step(1, 3);
  CHECK(is_only(take_findings(), "race", {"a write by warp 0"}));
}

// Readers at different times: each must be remembered until the write that comes after all of them.
void test_many_readers(int forgotten) {
  MemoryKernel kernel(
      std::string(kShared) +
          "st.shared.u32 [r0], r1;\nld.shared.u32 r1, [r0];\nld.shared.u32 r2, [r0];",
      8);
  for (int warp = 0; warp < 8; ++warp) kernel.set("r0", [&](int lane) { return 4u * lane; }, warp);
  kernel.step(0, 0);
  kernel.barrier({0, 1, 2, 3, 4, 5, 6, 7});
  for (int warp = 1; warp < 8; ++warp) {
    for (int i = 0; i < warp; ++i) kernel.barrier({warp});  // time goes on for this warp alone
    kernel.step(warp % 2 == 0 ? 1 : 2, warp);
  }
  // Warp 0 learns of them one by one.
  for (int warp = 1; warp < 8; ++warp) {
    if (warp != forgotten) kernel.barrier({0, warp});
  }
  kernel.step(0, 0);
  const std::string found = take_findings();
  if (forgotten == 0) {
    CHECK_EQ(found, std::string());
  } else {
    CHECK(is_only(found, "race",
                  {"a read by warp " + std::to_string(forgotten),
                   forgotten % 2 == 0 ? "ld.shared.u32 r1" : "ld.shared.u32 r2"}));
  }
}

// a before b by one barrier, b before c by another: a is before c, and only so.
void test_transitive(bool complete) {
  MemoryKernel kernel(std::string(kShared) + "st.shared.u32 [r0], r1;\nld.shared.u32 r1, [r0];", 3);
  for (int warp = 0; warp < 3; ++warp) kernel.set("r0", [&](int lane) { return 4u * lane; }, warp);
  kernel.step(0, 0);
  if (complete) kernel.barrier({0, 1});
  kernel.barrier({1, 2});
  if (!complete) kernel.barrier({0, 1});
  kernel.step(1, 2);
  const std::string found = take_findings();
  CHECK(complete ? found.empty() : is_only(found, "race"));
}

// Bytes beside each other are different bytes, whatever the size of earlier accesses.
void test_neighbours() {
  MemoryKernel kernel(std::string(kShared) +
                          "st.shared.v4.u32 [r0], {r1, r1, r1, r1};\nst.shared.u8 [r2], r1;\n"
                          "ld.shared.u8 r3, [r2];\nld.shared.u32 r3, [r0];",
                      3);
  for (int warp = 0; warp < 3; ++warp) {
    kernel.set("r0", [&](int lane) { return 16u * lane; }, warp);
    kernel.set("r2", [&](int lane) { return 16u * lane + warp; }, warp);
  }
  kernel.step(0, 0);
  kernel.barrier({0, 1, 2});
  for (int warp = 0; warp < 3; ++warp) kernel.step(3, warp);
  kernel.barrier({0, 1, 2});
  for (int warp = 0; warp < 3; ++warp) kernel.step(1, warp);
  for (int warp = 0; warp < 3; ++warp) kernel.step(2, warp);
  CHECK_EQ(take_findings(), std::string());
  kernel.step(3, 1);
  CHECK(is_only(take_findings(), "race", {"a write by warp 0"}));
}

void test_atomics() {
  MemoryKernel kernel(std::string(kShared) +
                          "st.shared.u32 [b], r1;\natom.shared.add.u32 r2, [b], r3;\n"
                          "red.shared.add.u32 [b], r3;\nld.shared.u32 r4, [b];\n"
                          "ld.volatile.shared.u32 r4, [b];\nst.volatile.shared.u32 [b], r1;\n"
                          "st.shared.u32 [a], r1;\nld.shared.u32 r5, [a];",
                      2);
  for (int warp : {0, 1}) {
    kernel.set("r3", [](int lane) { return uint32_t(lane); }, warp);
    kernel.set("r1", [](int) { return 0u; }, warp);
  }
  kernel.step(1, 0);
  CHECK(is_only(take_findings(), "uninitialised-read", {"atomic update"}));
  kernel.step(0, 0);
  kernel.barrier({0, 1});
  kernel.step(1, 0);
  kernel.step(2, 1);
  kernel.step(1, 0);
  CHECK_EQ(kernel.get<uint32_t>("r2", 31), 496 + 496 + 465);
  kernel.step(4, 1);
  CHECK_EQ(take_findings(), std::string());
  kernel.step(3, 0);  // its own last update came after the others'
  kernel.step(1, 1);
  CHECK(is_only(take_findings(), "race", {"a read by warp 0"}));
  kernel.barrier({0, 1});
  // A flag orders what was written before it.
  kernel.step(6, 0, 1);
  kernel.step(5, 0, 1);
  kernel.step(4, 1, 1);
  kernel.step(7, 1, 1);
  CHECK_EQ(take_findings(), std::string());
  kernel.barrier({0, 1});
  kernel.step(6, 0, 1);
  kernel.step(4, 1, 1);
  kernel.step(5, 0, 1);
  kernel.step(7, 1, 1);
  CHECK(is_only(take_findings(), "race"));
}

void test_mbarrier() {
  MemoryKernel kernel(R"(
    .shared .align 8 .b64 bar; .shared .align 16 .b8 a[512];
    mbarrier.init.shared.b64 [bar], r0;
    mbarrier.arrive.shared.b64 rd0, [bar];
    mbarrier.test_wait.shared.b64 p0, [bar], rd0;
    st.shared.u32 [a], r1;
    ld.shared.u32 r2, [a];
    mbarrier.test_wait.parity.shared.b64 p1, [bar], r3;
    mbarrier.arrive_drop.shared.b64 _, [bar];
    mbarrier.inval.shared.b64 [bar];
    mbarrier.pending_count.b64 r4, rd0;)",
                      3);
  for (int warp : {0, 1, 2}) {
    kernel.set("r0", [](int) { return 2u; }, warp);
    kernel.set("r3", [](int) { return 0u; }, warp);
  }
  kernel.step(1, 0, 1);
  CHECK(contains(take_findings(), "no mbarrier is here"));
  kernel.step(0, 0, 1);
  kernel.step(1, 1, 1);
  CHECK(is_only(take_findings(), "race", {"a write by warp 0"}));
  kernel.barrier({0, 1, 2});
  kernel.step(0, 0, 1);
  kernel.barrier({0, 1, 2});
  kernel.step(3, 0, 1);
  kernel.step(1, 0, 1);
  kernel.step(5, 2, 1);
  CHECK_EQ(kernel.predicate("p1", 2) & 1, 0);
  kernel.step(8, 0, 1);
  CHECK_EQ(kernel.get<uint32_t>("r4", 0, 0), 2);
  kernel.step(1, 1, 1);
  kernel.step(8, 1, 1);
  CHECK_EQ(kernel.get<uint32_t>("r4", 0, 1), 1);
  kernel.step(2, 1, 1);
  CHECK_EQ(kernel.predicate("p0", 1) & 1, 1);
  kernel.step(4, 1, 1);
  kernel.step(5, 2, 1);
  CHECK_EQ(kernel.predicate("p1", 2) & 1, 1);
  kernel.step(4, 2, 1);
  CHECK_EQ(take_findings(), std::string());
  kernel.step(2, 1, 1);
  // Dropping leaves one arrival a phase.
  kernel.step(6, 0, 1);
  kernel.step(1, 1, 1);
  kernel.step(1, 1, 1);
  kernel.step(2, 1, 1);
  CHECK_EQ(kernel.predicate("p0", 1) & 1, 1);
  // Without waiting there is no order.
  kernel.barrier({0, 1, 2});
  kernel.step(3, 0, 1);
  kernel.step(1, 0, 1);
  kernel.step(4, 1, 1);
  CHECK(is_only(take_findings(), "race"));
  CHECK(is_refused("mbarrier.try_wait.shared.b64 p0, [s], rd0;"));
  CHECK(is_refused("mbarrier.expect_tx.relaxed.cta.shared.b64 [s], r0;"));
  CHECK(is_refused("mbarrier.arrive.shared.b64 rd0, [s], r0;"));
}

void test_time_runs_on() {
  Clocks clocks(2);
  SyncClock clock;
  for (int i = 0; i < 1000; ++i) clocks.release(0, clock);
  clocks.acquire(1, clock);
  CHECK(clocks.now(1) >= clocks.now(0) && clocks.is_ordered(1, 0, 999));
  CHECK(!clocks.is_ordered(1, 0, clocks.now(0)));
  CHECK(!clocks.is_ordered(0, 1, 1));
}

}  // namespace

int main() {
  test_bounds();
  test_dynamic_bounds();
  test_uninitialised();
  for (int bytes : {2, 4}) {
    for (int bits = 0; bits < 8; ++bits) test_two_warps(bits & 1, bits & 2, bits & 4, bytes);
  }
  test_own_accesses();
  test_ring(false);
  test_ring(true);
  for (int forgotten = 0; forgotten < 8; ++forgotten) test_many_readers(forgotten);
  test_transitive(true);
  test_transitive(false);
  test_neighbours();
  test_atomics();
  test_mbarrier();
  test_time_runs_on();
  return summary();
}
