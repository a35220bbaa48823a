// Running a grid: a Launch is what all its CTAs share, a Cta what its warps share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "execute/program.h"
#include "execute/warp.h"
#include "memory/clocks.h"
#include "memory/global_memory.h"
#include "memory/shared_memory.h"
#include "report/counters.h"

namespace emulator {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

struct LaunchSettings {
  uint64_t seed = 0;
  int num_sms = 1;
  int ctas_per_sm = 1;  // how many CTAs may be resident: bounds what spins on another CTA's flag
  int num_host_threads = 0;  // 0: as many as the machine has processors
};

struct Launch {
  const Program* program = nullptr;
  GlobalMemory* memory = nullptr;
  Dim3 grid, block;
  int64_t dynamic_shared_bytes = 0;
  std::vector<std::byte> parameters;
  LaunchSettings settings;
  uint64_t grid_id = 0;
  int compute_capability = 80;
};

// Why a kernel was abandoned.
enum class Failure : uint8_t { kNone, kDeadlock, kTrap, kAssert };

// Runs all CTAs to their end, on several host threads. Findings go to report/findings.h. False: the
// kernel was abandoned, which is an error of the launch; `failure` then says why. What was executed
// is added to `counters`, which the caller describes.
bool run(const Launch& launch, LaunchCounters* counters, Failure* failure = nullptr);

// State of the bar.* barriers of one CTA: execute/barriers.h.
struct CtaBarriers;

class Cta {
 public:
  Cta(const Launch& launch, Dim3 index, uint64_t seed, WorkerCounters& counters);
  ~Cta();

  uint64_t linear_index() const {
    return (uint64_t{index.z} * launch.grid.y + index.y) * launch.grid.x + index.x;
  }

  const Launch& launch;
  const Dim3 index;
  std::mt19937_64 random;    // schedules and landing times, from the seed and the CTA's index
  WorkerCounters& counters;  // of the host thread that runs this CTA
  Clocks clocks;             // happens-before among warps
  SharedMemory shared;
  std::vector<std::unique_ptr<Warp>> warps;
  std::unique_ptr<CtaBarriers> barriers;
  uint64_t steps = 0;                // instructions that its warps have executed
  std::string output;                // what its threads printed
  Failure failure = Failure::kNone;  // set by what ends the whole launch
};

}  // namespace emulator
