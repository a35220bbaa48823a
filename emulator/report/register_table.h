// ptxas' register counts, which PTX does not have: made when a program is built, read here to tell
// how many CTAs fit on an SM.
#pragma once

#include <map>
#include <string>

namespace emulator {

// Lines "ARCH KERNEL REGISTERS", such as "80 _Z6kernelPf 32"; see emulator/register_table.py.
class RegisterTable {
 public:
  void read(const std::string& path);  // adds to what is there; a missing file adds nothing
  // Of a thread; 0 where the table does not say.
  int registers(int compute_capability, const std::string& kernel) const;

 private:
  std::map<std::pair<int, std::string>, int> counts_;
};

struct OccupancyLimits {
  int threads_per_sm, ctas_per_sm, shared_per_sm, reserved_shared;
};
// CTAs that fit on an SM by threads, registers (unknown where 0) and shared memory.
int resident_ctas(const OccupancyLimits& limits, int block_threads, int registers,
                  int64_t shared_bytes);

}  // namespace emulator
