#include "report/summary.h"

#include "report/location.h"

namespace emulator {
namespace {

bool is_shape(const std::string& modifier) {
  return modifier.size() > 4 && modifier[0] == 'm' && modifier.find('n') != std::string::npos &&
         modifier.find('k') != std::string::npos && modifier[1] >= '0' && modifier[1] <= '9';
}

// The space that an instruction's bytes are counted under; empty for those that touch no memory.
std::string space_of(const ptx::Instruction& instruction) {
  static constexpr std::string_view kMemory[] = {"ld",  "ldu", "st",      "atom",
                                                 "red", "cp",  "ldmatrix"};
  bool touches_memory = false;
  for (const std::string_view opcode : kMemory) touches_memory |= instruction.opcode == opcode;
  if (!touches_memory) return {};
  if (instruction.opcode == "cp") return "global";  // what it reads; the write is shared wavefronts
  if (instruction.opcode == "ldmatrix") return "shared";
  for (const std::string_view space : {"global", "shared", "local", "param", "const"}) {
    for (const std::string& modifier : instruction.modifiers) {
      if (modifier == space || modifier.starts_with(std::string(space) + "::")) {
        return std::string(space);
      }
    }
  }
  return "generic";
}

std::pair<std::string, int> split_line(const std::string& location) {
  const size_t colon = location.rfind(':');
  return {location.substr(0, colon), std::stoi(location.substr(colon + 1))};
}

}  // namespace

void LineCounters::add(const OpCounters& op) {
  instructions += op.executions;
  wavefronts += op.wavefronts;
  bank_conflicts += op.bank_conflicts;
  sectors += op.sectors;
  bytes += op.requested_bytes;
}

std::string mma_name(const ptx::Instruction& instruction) {
  std::string name;
  bool types = false;
  for (const std::string& modifier : instruction.modifiers) {
    const bool sparse = modifier == "sp" || modifier.starts_with("sp::");
    const bool shape = is_shape(modifier);
    const bool type = types && modifier != "row" && modifier != "col" && modifier != "satfinite";
    const bool keep = sparse || shape || type;
    types |= shape;
    if (!keep) continue;
    if (!name.empty()) name += '.';
    name += sparse ? "sp" : modifier;
  }
  return name;
}

Summary summarise(const LaunchCounters& launch) {
  Summary sum;
  if (launch.program == nullptr) return sum;
  for (const Op& op : launch.program->ops) {
    const OpCounters& counted = launch.ops[static_cast<size_t>(op.id)];
    if (counted.executions == 0 || op.source == nullptr) continue;
    sum.warp_instructions += counted.executions;
    sum.instructions[op.source->full_opcode()] += counted.executions;
    if (op.source->opcode == "mma") sum.mma[mma_name(*op.source)] += counted.executions;
    sum.wavefronts += counted.wavefronts;
    sum.bank_conflicts += counted.bank_conflicts;
    sum.sectors += counted.sectors;
    if (const std::string space = space_of(*op.source); !space.empty()) {
      sum.bytes[space] += counted.requested_bytes;
      // A generic access is counted as what it touched: sectors only where it was global memory.
      if (space == "global" || counted.sectors > 0) sum.global_bytes += counted.requested_bytes;
    }
    sum.lines[split_line(location_line(*launch.program->module, *op.source))].add(counted);
  }
  return sum;
}

}  // namespace emulator
