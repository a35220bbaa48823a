// A launch's counters summed by opcode, by kind of mma, by space and by source line.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "report/counters.h"

namespace emulator {

struct LineCounters {
  uint64_t instructions = 0, wavefronts = 0, bank_conflicts = 0, sectors = 0, bytes = 0;
  void add(const OpCounters& op);
};

struct Summary {
  uint64_t warp_instructions = 0;
  std::map<std::string, uint64_t> instructions;  // full opcode -> executions
  std::map<std::string, uint64_t> mma;           // "sp.m16n8k32.f32.f16.f16.f32" -> executions
  std::map<std::string, uint64_t> bytes;         // space -> bytes asked for by active lanes
  uint64_t wavefronts = 0, bank_conflicts = 0;   // of shared memory
  uint64_t sectors = 0, global_bytes = 0;
  std::map<std::pair<std::string, int>, LineCounters> lines;  // (file, line)
};

Summary summarise(const LaunchCounters& launch);

// "sp.m16n8k32.f32.f16.f16.f32" for an mma instruction, whatever its other modifiers.
std::string mma_name(const ptx::Instruction& instruction);

}  // namespace emulator
