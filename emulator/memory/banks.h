// How many passes the banks of shared memory need for an access.
#pragma once

#include <cstdint>

#include "memory/access.h"

namespace emulator {

inline constexpr int kNumBanks = 32;
inline constexpr int kBankBytes = 4;
inline constexpr int kWavefrontBytes = kNumBanks * kBankBytes;

// 32 banks of 4 bytes; a wavefront gives one word of each bank, to any number of lanes. Accesses of
// 8 bytes a lane go by half warps and of 16 by quarter warps, unless the lanes' words are so few
// that more of them fit one wavefront. ldmatrix: the eight rows of a matrix go together.
int num_wavefronts(const Access& access);
// What an access of these lanes takes if no two words meet in one bank.
int minimal_wavefronts(const Access& access);
void count_wavefronts(const Access& access);

}  // namespace emulator
