// Happens-before among the warps of a CTA: one vector clock a warp.
//
// A warp's own entry counts its releases. An access is stamped (warp, that count); a later access
// by warp w is ordered after it iff the stamp's count is below what w has acquired of that warp.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace emulator {

inline constexpr int kMaxWarps = 32;                   // 1024 threads
inline constexpr uint32_t kLastTime = (1u << 26) - 1;  // a stamp keeps 26 bits of time

// What an arrival at a barrier, or a release to a flag, has published.
struct SyncClock {
  std::array<uint32_t, kMaxWarps> entries{};

  void merge(const SyncClock& other) {
    for (int i = 0; i < kMaxWarps; ++i) entries[i] = std::max(entries[i], other.entries[i]);
  }
};

class Clocks {
 public:
  explicit Clocks(int num_warps);

  uint32_t now(int warp) const { return clocks_[warp].entries[warp]; }
  // Whether an access of `other` stamped `time` happens before the next access of `warp`.
  bool is_ordered(int warp, int other, uint32_t time) const {
    return other == warp || time < clocks_[warp].entries[other];
  }
  // Stamps below this, of any warp, are ordered before the next access of `warp`.
  uint32_t horizon(int warp) const { return horizons_[warp]; }

  void release(int warp,
               SyncClock& object);  // all `warp` did so far becomes visible through object
  void acquire(int warp, const SyncClock& object);  // `warp` sees what was released to object

 private:
  void update_horizon(int warp);
  int num_warps_;
  std::vector<SyncClock> clocks_;
  std::vector<uint32_t> horizons_;
};

}  // namespace emulator
