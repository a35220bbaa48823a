// Races against an oracle: random accesses of random warps, sizes and patterns, random barriers,
// and for every byte the whole truth about who accessed it since the last write.
#include <algorithm>
#include <map>
#include <random>

#include "tests/check.h"
#include "tests/memory_kernel.h"

using namespace emulator;
using namespace emulator::test;

namespace {

constexpr int kWarps = 5;
constexpr uint32_t kBytes = 1024;

using VectorClock = std::array<int, kWarps>;

class Oracle {
 public:
  Oracle() {
    for (int warp = 0; warp < kWarps; ++warp) clocks_[warp][warp] = 1;
  }

  void barrier(const std::vector<int>& warps) {
    VectorClock joined{};
    for (int warp : warps) join(joined, clocks_[warp]);
    for (int warp : warps) {
      clocks_[warp] = joined;
      ++clocks_[warp][warp];
    }
  }
  // Whether the access races with an earlier one.
  bool access(int warp, bool writes, uint32_t first, int bytes) {
    bool races = false;
    for (uint32_t at = first; at < first + bytes; ++at) {
      Byte& byte = bytes_[at];
      races |= byte.writer >= 0 && !is_ordered(warp, byte.writer, byte.written_at);
      if (!writes) continue;
      for (const auto& [reader, time] : byte.readers) races |= !is_ordered(warp, reader, time);
    }
    return races;
  }
  void record(int warp, bool writes, uint32_t first, int bytes) {
    for (uint32_t at = first; at < first + bytes; ++at) {
      if (writes) {
        bytes_[at] = {warp, clocks_[warp][warp], {}};
      } else {
        bytes_[at].readers[warp] = clocks_[warp][warp];
      }
    }
  }

 private:
  struct Byte {
    int writer = -1, written_at = 0;
    std::map<int, int> readers;
  };
  static void join(VectorClock& into, const VectorClock& from) {
    for (int i = 0; i < kWarps; ++i) into[i] = std::max(into[i], from[i]);
  }
  bool is_ordered(int warp, int other, int time) const {
    return warp == other || time <= clocks_[warp][other];
  }

  std::array<VectorClock, kWarps> clocks_{};
  std::array<Byte, kBytes> bytes_{};
};

constexpr int kSizes[] = {1, 2, 4, 8, 16};
// Stores at 2 * i, loads at 2 * i + 1, of kSizes[i].
constexpr const char* kBody = R"(
    .shared .align 16 .b8 s[1024];
    st.shared.u8 [r0], r1;
    ld.shared.u8 r1, [r0];
    st.shared.u16 [r0], h1;
    ld.shared.u16 h1, [r0];
    st.shared.u32 [r0], r1;
    ld.shared.u32 r1, [r0];
    st.shared.u64 [r0], rd1;
    ld.shared.u64 rd1, [r0];
    st.shared.v4.u32 [r0], {r1, r2, r3, r4};
    ld.shared.v4.u32 {r1, r2, r3, r4}, [r0];)";

std::array<uint32_t, kWarpLanes> random_offsets(std::mt19937& random, uint32_t bytes) {
  std::array<uint32_t, kWarpLanes> offsets;
  const uint32_t num_places = kBytes / bytes, start = random() % num_places;
  const uint32_t kind = random() % 4, step = 1 + random() % 4;
  for (uint32_t lane = 0; lane < kWarpLanes; ++lane) {
    const uint32_t place = kind == 0   ? start + lane
                           : kind == 1 ? start
                           : kind == 2 ? start + lane * step
                                       : static_cast<uint32_t>(random());
    offsets[lane] = place % num_places * bytes;
  }
  return offsets;
}

std::vector<int> random_warps(std::mt19937& random) {
  std::vector<int> warps;
  for (int warp = 0; warp < kWarps; ++warp) {
    if (random() % 3 != 0) warps.push_back(warp);
  }
  return warps;
}

// Number of steps on which oracle and shadow differ; `num_races` counts those with a race.
int run(uint32_t seed, int smallest_size, int barrier_percent, int& num_races) {
  std::mt19937 random(seed);
  MemoryKernel kernel(kBody, kWarps);
  Oracle oracle;
  const auto barrier = [&](const std::vector<int>& warps) {
    SyncClock clock;
    for (int warp : warps) kernel.cta().clocks.release(warp, clock);
    for (int warp : warps) kernel.cta().clocks.acquire(warp, clock);
    oracle.barrier(warps);
  };
  const auto step = [&](int warp, int size, bool writes, LaneMask active, const auto& offsets) {
    const int bytes = kSizes[size];
    kernel.set("r0", [&](int lane) { return offsets[lane]; }, warp);
    bool expected = false;
    for_lanes(active,
              [&](int lane) { expected |= oracle.access(warp, writes, offsets[lane], bytes); });
    for_lanes(active, [&](int lane) { oracle.record(warp, writes, offsets[lane], bytes); });
    kernel.step(2 * size + (writes ? 0 : 1), warp, active);
    const bool found = contains(take_findings(), ": race: ");
    num_races += expected;
    return found == expected;
  };

  std::array<uint32_t, kWarpLanes> offsets;
  for (uint32_t base = 0; base < kBytes; base += 512) {
    for (uint32_t lane = 0; lane < kWarpLanes; ++lane) offsets[lane] = base + 16 * lane;
    step(0, 4, true, kAllLanes, offsets);
  }
  barrier({0, 1, 2, 3, 4});
  int num_different = 0;
  for (int i = 0; i < 400; ++i) {
    if (static_cast<int>(random() % 100) < barrier_percent) {
      const bool whole = random() % 3 == 0;
      barrier(whole ? std::vector<int>{0, 1, 2, 3, 4} : random_warps(random));
    }
    const int size = smallest_size + static_cast<int>(random() % (5 - smallest_size));
    const LaneMask active = random() % 2 == 0 ? kAllLanes : static_cast<LaneMask>(random()) | 1;
    const int warp = static_cast<int>(random() % kWarps);
    const bool writes = random() % 4 == 0;
    num_different += !step(warp, size, writes, active, random_offsets(random, kSizes[size]));
  }
  return num_different;
}

}  // namespace

int main() {
  int num_races = 0, num_runs = 0;
  for (int smallest_size : {0, 2, 4}) {
    for (int barrier_percent : {10, 50, 95}) {
      for (uint32_t seed = 0; seed < 6; ++seed) {
        CHECK_EQ(run(seed, smallest_size, barrier_percent, num_races), 0);
        ++num_runs;
      }
    }
  }
  // Both answers must have been frequent.
  CHECK(num_races > 20 * num_runs && num_races < 350 * num_runs);
  return summary();
}
