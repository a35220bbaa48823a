#include "report/register_table.h"

#include <algorithm>
#include <fstream>

namespace emulator {
namespace {

constexpr int kRegistersPerSm = 65536;
constexpr int kRegisterUnit = 256;       // a warp's registers are given out in such units
constexpr int kSharedUnit = 128;         // bytes
constexpr int kWarpsPerSubcoreUnit = 4;  // warps are spread over four register files

int round_up(int64_t value, int unit) {
  return static_cast<int>((value + unit - 1) / unit * unit);
}

}  // namespace

void RegisterTable::read(const std::string& path) {
  std::ifstream file(path);
  int arch = 0, count = 0;
  for (std::string kernel; file >> arch >> kernel >> count;) counts_[{arch, kernel}] = count;
}

int RegisterTable::registers(int compute_capability, const std::string& kernel) const {
  const auto found = counts_.find({compute_capability, kernel});
  return found == counts_.end() ? 0 : found->second;
}

int resident_ctas(const OccupancyLimits& limits, int block_threads, int registers,
                  int64_t shared_bytes) {
  const int warps = (block_threads + 31) / 32;
  int ctas = std::min(limits.ctas_per_sm, limits.threads_per_sm / (warps * 32));
  if (registers > 0) {
    const int warp_registers = round_up(registers * 32, kRegisterUnit);
    const int per_subcore = kRegistersPerSm / kWarpsPerSubcoreUnit / warp_registers;
    ctas = std::min(ctas, per_subcore * kWarpsPerSubcoreUnit / warps);
  }
  const int shared = round_up(shared_bytes + limits.reserved_shared, kSharedUnit);
  return std::max(0, std::min(ctas, limits.shared_per_sm / shared));
}

}  // namespace emulator
