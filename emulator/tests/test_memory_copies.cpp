// cp.async: when bytes land, what may be read before, and which waits cover what.
#include <numeric>
#include <set>

#include "tests/check.h"
#include "tests/memory_kernel.h"

using namespace emulator;
using namespace emulator::test;

namespace {

constexpr const char* kBody = R"(
    .shared .align 16 .b8 s[4096]; .shared .align 8 .b64 bar;
    cp.async.cg.shared.global [r0], [rd0], 16;
    cp.async.commit_group;
    cp.async.wait_group 0;
    cp.async.wait_group 1;
    cp.async.wait_all;
    ld.shared.u32 r1, [r0];
    st.shared.u32 [r0], r1;
    cp.async.ca.shared.global [r0], [rd0], 16, r2;
    cp.async.ca.shared.global [r0], [rd0], 8, p0;
    cp.async.ca.shared.global.L2::128B [r0], [rd0], 4;
    cp.async.ca.shared.global [r0], [rd0], 4, !p0;
    mbarrier.init.shared.b64 [bar], r3;
    cp.async.mbarrier.arrive.noinc.shared.b64 [bar];
    mbarrier.test_wait.parity.shared.b64 p1, [bar], r4;
    cp.async.mbarrier.arrive.shared.b64 [bar];
    mbarrier.arrive.shared.b64 _, [bar];)";
enum {
  kCopy,
  kCommit,
  kWait0,
  kWait1,
  kWaitAll,
  kLoad,
  kStore,
  kCopySize,
  kCopyIgnore8,
  kCopy4,
  kCopyIgnore4,
  kInit,
  kArriveNoinc,
  kTestWait,
  kArrive,
  kPlainArrive
};

struct Copying : MemoryKernel {
  explicit Copying(int num_warps = 2, uint64_t seed = 0) : MemoryKernel(kBody, num_warps, 0, seed) {
    source = memory.allocate(4096, Allocation::Kind::kDevice);
    words = reinterpret_cast<uint32_t*>(memory.data(source, 4096));
    std::iota(words, words + 1024, 1u);
    memory.mark_written(source, 4096);
    for (int warp = 0; warp < num_warps; ++warp) {
      point(0, 0, warp);
      set("r2", [](int lane) { return lane % 2 == 0 ? 16u : 6u; }, warp);
      set_predicate("p0", 0x0F, warp);
      set("r3", [&](int) { return 32u; }, warp);
      set("r4", [](int) { return 0u; }, warp);
    }
  }
  // Where the next instructions copy to and from: 16 bytes a lane.
  void point(uint32_t to, uint32_t from, int warp = 0) {
    set("r0", [&](int lane) { return to + 16u * lane; }, warp);
    set("rd0", [&](int lane) { return source + from + 16 * lane; }, warp);
  }
  uint32_t in_shared(uint32_t offset) {
    uint32_t word;
    std::memcpy(&word, cta().shared.data() + offset, 4);
    return word;
  }
  uint64_t source;
  uint32_t* words;
};

void test_plain() {
  Copying kernel;
  kernel.step(kCopy);
  kernel.step(kCommit);
  kernel.step(kWait0);
  kernel.step(kLoad);
  CHECK_EQ(take_findings(), std::string());
  CHECK_EQ(kernel.get<uint32_t>("r1", 31), 125);
  kernel.step(kLoad, 1);
  CHECK(is_only(take_findings(), "race", {"a write by warp 0", "against", "cp.async.cg"}));
  kernel.barrier({0, 1});
  kernel.step(kLoad, 1);
  CHECK_EQ(take_findings(), std::string());
  CHECK_EQ(kernel.get<uint32_t>("r1", 30, 1), 121);
}

void test_unfinished() {
  Copying kernel;
  kernel.step(kCopy);
  kernel.step(kCommit);
  kernel.step(kLoad);
  CHECK(is_only(take_findings(), "unfinished-copy", {"warp 0 lane 0", "against", "cp.async.cg"}));
  kernel.barrier({0, 1});
  kernel.step(kStore, 1, 0x2);
  CHECK(is_only(take_findings(), "unfinished-copy", {"write of 4 bytes", "warp 0 lane 1"}));
  kernel.step(kCopy, 1);
  CHECK(is_only(take_findings(), "unfinished-copy", {"cp.async of 16 bytes"}));
  // Not committed, so that no wait_group covers it.
  Copying other;
  other.step(kCopy);
  other.step(kWait0);
  other.step(kLoad);
  CHECK(is_only(take_findings(), "unfinished-copy"));
  other.step(kWaitAll);
  other.step(kLoad);
  CHECK_EQ(take_findings(), std::string());
}

void test_groups() {
  Copying kernel;
  for (uint32_t stage = 0; stage < 3; ++stage) {
    kernel.point(512 * stage, 512 * stage);
    kernel.step(kCopy);
    kernel.step(kCommit);
  }
  kernel.step(kWait1);
  for (uint32_t stage = 0; stage < 2; ++stage) {
    kernel.point(512 * stage, 0);
    kernel.step(kLoad);
    CHECK_EQ(kernel.get<uint32_t>("r1", 0), 128 * stage + 1);
  }
  CHECK_EQ(take_findings(), std::string());
  kernel.point(1024, 0);
  kernel.step(kLoad);
  CHECK(is_only(take_findings(), "unfinished-copy"));
  kernel.step(kCommit);  // an empty group
  kernel.step(kWait1);
  kernel.step(kLoad);
  CHECK_EQ(take_findings(), std::string());
}

// Groups belong to threads: a wait by half of the warp covers the copies of that half.
void test_groups_of_threads() {
  Copying kernel;
  kernel.step(kCopy);
  kernel.step(kCommit, 0, 0x0000FFFF);
  kernel.step(kWait0);
  kernel.step(kLoad, 0, 0x0000FFFF);
  CHECK_EQ(take_findings(), std::string());
  kernel.step(kLoad, 0, 0x00010000);
  CHECK(is_only(take_findings(), "unfinished-copy", {"warp 0 lane 16"}));
  kernel.step(kCommit, 0, 0xFFFF0000);
  kernel.step(kWait0, 0, 0x00FF0000);
  kernel.step(kLoad, 0, 0x00FF0000);
  CHECK_EQ(take_findings(), std::string());
  kernel.step(kLoad, 0, 0x80000000);
  CHECK(is_only(take_findings(), "unfinished-copy"));
}

void test_destination_is_checked() {
  Copying kernel;
  kernel.step(kStore, 0);
  kernel.barrier({0, 1});
  kernel.step(kLoad, 1);
  kernel.step(kCopy);
  CHECK(is_only(take_findings(), "race", {"cp.async of 16 bytes", "a read by warp 1"}));
  kernel.step(kWaitAll);
  kernel.point(4096, 0);
  kernel.step(kCopy);
  CHECK(is_only(take_findings(), "out-of-bounds", {"write of 16 bytes"}));
  kernel.point(4096 - 16 * 32, 0);
  kernel.step(kCopy);
  CHECK_EQ(take_findings(), std::string());
}

void test_source_is_checked() {
  Copying kernel;
  kernel.point(0, 4096 - 16 * 31);
  kernel.step(kCopy);
  CHECK(is_only(take_findings(), "out-of-bounds", {"read of 16 bytes", "lane 31"}));
  kernel.step(kWaitAll);
  kernel.step(kLoad);
  CHECK(kernel.get<uint32_t>("r1", 31) == 0 && kernel.get<uint32_t>("r1", 30) == 1021);
  const uint64_t unwritten = kernel.memory.allocate(512, Allocation::Kind::kDevice);
  kernel.set("rd0", [&](int lane) { return unwritten + 16 * lane; });
  kernel.step(kCopy);
  CHECK(is_only(take_findings(), "uninitialised-read"));
  kernel.set("rd0", [&](int lane) { return kernel.source + 8 * lane; });
  kernel.barrier({0});
  kernel.point(2048, 0);
  kernel.set("rd0", [&](int lane) { return kernel.source + 8 * lane; });
  kernel.step(kCopy);
  CHECK(is_only(take_findings(), "misaligned", {"no multiple of 16"}));
}

void test_sizes() {
  Copying kernel;
  kernel.set("r1", [](int) { return ~0u; });
  for (uint32_t word = 0; word < 16; word += 4) {
    kernel.set("r0", [&](int lane) { return 16u * lane + word; });
    kernel.step(kStore);
  }
  kernel.point(0, 0);
  kernel.step(kCopySize);
  kernel.step(kWaitAll);
  CHECK(kernel.in_shared(32) == 9 && kernel.in_shared(44) == 12);
  CHECK(kernel.in_shared(16) == 5 && kernel.in_shared(20) == 6 && kernel.in_shared(24) == 0);
  // Bytes that are not read need not exist.
  kernel.set("r2", [](int lane) { return lane == 0 ? 8u : 0u; });
  kernel.set("rd0", [&](int lane) { return lane == 0 ? kernel.source + 4096 - 16 : 16; });
  kernel.step(kCopySize);
  kernel.step(kWaitAll);
  CHECK(kernel.in_shared(4) == 1022 && kernel.in_shared(8) == 0 && kernel.in_shared(16) == 0);
  kernel.point(0, 0);
  kernel.step(kCopyIgnore8);
  kernel.step(kWaitAll);
  CHECK(kernel.in_shared(0) == 0 && kernel.in_shared(64) == 17 && kernel.in_shared(68) == 18);
  kernel.step(kCopyIgnore4);
  kernel.step(kWaitAll);
  CHECK(kernel.in_shared(0) == 1 && kernel.in_shared(64) == 0 && kernel.in_shared(68) == 18);
  kernel.step(kCopy4);
  kernel.step(kWaitAll);
  CHECK(kernel.in_shared(64) == 17 && kernel.in_shared(68) == 18);
  CHECK_EQ(take_findings(), std::string());
}

// A copy lands at different times under different seeds, always between its issue and its wait.
void test_landing_times() {
  std::set<int> times;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Copying kernel(1, seed);
    kernel.step(kCopy);
    int landed = kernel.in_shared(0) == 1 ? 0 : -1;
    for (int time = 1; time <= 20; ++time) {
      kernel.point(512 + 16 * (time % 64), 0);
      kernel.step(kCommit);
      if (landed < 0 && kernel.in_shared(0) == 1) landed = time;
    }
    times.insert(landed);
    kernel.words[0] = 99;
    kernel.step(kWaitAll);
    CHECK(kernel.in_shared(0) == (landed < 0 ? 99 : 1));
  }
  CHECK(times.size() > 8);
  CHECK(times.contains(0));
  // What changes in between may or may not be seen.
  std::set<uint32_t> seen;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Copying kernel(1, seed);
    kernel.step(kCopy);
    kernel.words[0] = 99;
    kernel.step(kWaitAll);
    seen.insert(kernel.in_shared(0));
  }
  CHECK_EQ(seen.size(), 2);
  CHECK_EQ(take_findings(), std::string());
}

// Copies make their threads arrive at an mbarrier; a wait there is enough for another warp.
void test_arrival(bool noinc, bool waits) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    Copying kernel(2, seed);
    kernel.step(kInit, 0, 1);
    kernel.barrier({0, 1});
    kernel.step(kCopy);
    kernel.step(noinc ? kArriveNoinc : kArrive);
    if (!noinc) kernel.step(kPlainArrive);
    int polls = 0;
    while (waits && ++polls < 200) {
      kernel.step(kTestWait, 1);
      if (kernel.predicate("p1", 1) == kAllLanes) break;
    }
    CHECK(!waits || (polls >= 1 && polls < 200));
    kernel.step(kLoad, 1);
    const std::string found = take_findings();
    if (waits) {
      CHECK_EQ(found, std::string());
      CHECK_EQ(kernel.get<uint32_t>("r1", 31, 1), 125);
    } else {
      CHECK(is_only(found, "unfinished-copy"));
    }
  }
}

void test_refusals() {
  for (const char* instruction :
       {"cp.async.cg.shared.global [s], [rd0], 8;", "cp.async.ca.shared.global [s], [rd0], 2;",
        "cp.async.ca.shared::cluster.global [s], [rd0], 4;",
        "cp.async.shared.global [s], [rd0], 16;",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [rd0], [s], r0;",
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [rd0], r0, [s];"}) {
    if (!is_refused(instruction)) std::cerr << "not refused: " << instruction << '\n';
    CHECK(is_refused(instruction));
  }
  CHECK(!is_refused("cp.async.cg.shared.global.L2::cache_hint [s], [rd0], 16, r0, rd1;"));
  CHECK(!is_refused("cp.async.cg.shared.global.L2::cache_hint.L2::256B [s], [rd0], 16, rd1;"));
}

}  // namespace

int main() {
  test_plain();
  test_unfinished();
  test_groups();
  test_groups_of_threads();
  test_destination_is_checked();
  test_source_is_checked();
  test_sizes();
  test_landing_times();
  for (bool noinc : {false, true}) {
    for (bool waits : {false, true}) test_arrival(noinc, waits);
  }
  test_refusals();
  return summary();
}
