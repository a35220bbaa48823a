#include "memory/banks.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace emulator {
namespace {

// Wavefronts that the words of some lanes need if nothing keeps them apart: the most different
// words that one bank holds.
int passes(const uint32_t* offsets, LaneMask lanes, int bytes) {
  constexpr int kMostWords = kWarpLanes * 4;
  const int words_per_lane = std::max(bytes / kBankBytes, 1);
  uint32_t words[kMostWords];
  int num_words = 0;
  for (LaneMask rest = lanes; rest != 0; rest &= rest - 1) {
    const uint32_t first = offsets[std::countr_zero(rest)] / kBankBytes;
    for (int i = 0; i < words_per_lane; ++i) words[num_words++] = first + i;
  }
  int count = 0;
  while (num_words > 0) {
    uint32_t taken = 0;  // banks
    uint32_t word_of[kNumBanks];
    int left = 0;
    for (int i = 0; i < num_words; ++i) {
      const uint32_t word = words[i], bank = word % kNumBanks;
      if ((taken >> bank & 1) == 0) {
        taken |= 1u << bank;
        word_of[bank] = word;
      } else if (word_of[bank] != word) {
        words[left++] = word;
      }
    }
    num_words = left;
    ++count;
  }
  return count;
}

constexpr LaneMask part_of_warp(int part, int num_parts) {
  const int lanes = kWarpLanes / num_parts;
  return static_cast<LaneMask>((uint64_t{1} << lanes) - 1) << (part * lanes);
}

int count_passes(const uint32_t* offsets, LaneMask active, int bytes) {
  if (bytes <= kBankBytes) return passes(offsets, active, bytes);
  const int most_parts = bytes / kBankBytes;  // 2 or 4
  const int whole = passes(offsets, active, bytes);
  if (whole == 1) return 1;
  int count = 0;
  for (int half = 0; half < 2; ++half) {
    const LaneMask lanes = active & part_of_warp(half, 2);
    if (lanes == 0) continue;
    const int together = passes(offsets, lanes, bytes);
    if (most_parts == 2 || together == 1) {
      count += together;
      continue;
    }
    for (int quarter = 2 * half; quarter < 2 * half + 2; ++quarter) {
      count += passes(offsets, active & part_of_warp(quarter, most_parts), bytes);
    }
  }
  return count;
}

// Kernels repeat themselves: the last pattern of each instruction is remembered. Moving a pattern
// by whole words changes nothing, so patterns are kept relative to the first lane's word.
struct Pattern {
  int bytes = 0;
  LaneMask active = 0;
  int wavefronts = 0;
  alignas(64) uint32_t offsets[kWarpLanes] = {};
};
constexpr int kNumPatterns = 256;
thread_local Pattern patterns[kNumPatterns];

template <typename Count>
int remembered(const Access& access, int kind, Count count) {
  alignas(64) uint32_t offsets[kWarpLanes];
  const uint64_t first = access.address[0] & ~uint64_t{kBankBytes - 1};
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    offsets[lane] = static_cast<uint32_t>(access.address[lane] - first);
  }
  Pattern& pattern = patterns[access.op.id % kNumPatterns];
  uint32_t difference = (pattern.bytes ^ kind) | (pattern.active ^ access.active);
  for (int lane = 0; lane < kWarpLanes; ++lane) difference |= pattern.offsets[lane] ^ offsets[lane];
  if (difference != 0) {
    // Counted on the addresses themselves: lanes may lie below the first.
    alignas(64) uint32_t absolute[kWarpLanes];
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      absolute[lane] = static_cast<uint32_t>(access.address[lane]);
    }
    pattern.bytes = kind;
    pattern.active = access.active;
    std::memcpy(pattern.offsets, offsets, sizeof(offsets));
    pattern.wavefronts = count(absolute);
  }
  return pattern.wavefronts;
}

}  // namespace

int num_wavefronts(const Access& access) {
  const int kind = access.num_matrices > 0 ? -access.num_matrices : access.bytes;
  return remembered(access, kind, [&](const uint32_t* offsets) {
    if (access.num_matrices == 0) return count_passes(offsets, access.active, access.bytes);
    int count = 0;
    for (int matrix = 0; matrix < access.num_matrices; ++matrix) {
      count += passes(offsets, access.active & part_of_warp(matrix, 4), access.bytes);
    }
    return count;
  });
}

int minimal_wavefronts(const Access& access) {
  const auto fits = [&](LaneMask lanes) {
    return std::popcount(lanes) * access.bytes <= kWavefrontBytes;
  };
  if (access.num_matrices > 0) return access.num_matrices;
  if (fits(access.active)) return 1;
  int count = 0;
  for (int half = 0; half < 2; ++half) {
    const LaneMask lanes = access.active & part_of_warp(half, 2);
    // A half that does not fit has lanes in both of its quarters.
    count += lanes == 0 ? 0 : fits(lanes) ? 1 : 2;
  }
  return count;
}

void count_wavefronts(const Access& access) {
  OpCounters& counters = access.counters();
  const int wavefronts = num_wavefronts(access);
  counters.wavefronts += wavefronts;
  counters.bank_conflicts += std::max(wavefronts - minimal_wavefronts(access), 0);
}

}  // namespace emulator
