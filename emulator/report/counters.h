// What a launch did, counted by instruction; everything else is summed from that.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "execute/program.h"

namespace emulator {

// Of one Op, over all warps.
struct OpCounters {
  uint64_t executions = 0;  // by a warp, whatever lanes were active
  uint64_t active_lanes = 0;
  uint64_t requested_bytes = 0;  // by active lanes
  uint64_t wavefronts = 0;       // shared memory: passes that the access took
  uint64_t bank_conflicts = 0;   // wavefronts beyond what the bytes asked for need
  uint64_t sectors = 0;          // global memory: distinct 32-byte sectors a warp access touched
};

struct WorkerCounters {
  std::vector<OpCounters> ops;  // index: Op::id
};

struct LaunchCounters {
  std::string kernel;                // mangled name
  const Program* program = nullptr;  // for the listing; outlives the counters
  uint32_t grid[3] = {}, block[3] = {};
  int64_t shared_bytes = 0;
  int registers = 0;    // of a thread, as ptxas counted them; 0 where that is not known
  int ctas_per_sm = 0;  // that fit by threads, registers and shared memory
  std::vector<OpCounters> ops;
  double seconds = 0;

  void add(const WorkerCounters& worker);
};

// All launches of the process.
void record(LaunchCounters counters);
void reset_counters();
// JSON: {"launches": [{kernel, grid, block, registers, ctas_per_sm, instructions: {opcode: n}, mma:
// {"sp.m16n8k32.f32.f16.f16.f32": n}, shared: {wavefronts, bank_conflicts}, global: {sectors,
// bytes}, bytes: {space: n}, lines: {...} on request}]}
std::string counters_json(bool by_line);
std::string counters_table();
std::string annotated_listing();
bool write_counters(const std::string& path);  // JSON; by line if EMULATOR_COUNTERS_BY_LINE is set

}  // namespace emulator
