// Metadata to positions by one multishift, which takes each kept value's two bits (and six that are
// masked off, or ignored) to its lane.
#pragma once

namespace sparse_gemm::cpu {

// Byte or word i of a step, which kRows rows share: where its two bits of metadata are, and where
// its group begins.
template <typename Lane, int kLanes, int kRows = 1>
struct PositionTables {
  alignas(64) Lane shift[kLanes];
  alignas(64) Lane group_start[kLanes];

  constexpr PositionTables() : shift(), group_start() {
    constexpr int kPerQword = 32;  // kept values whose metadata is 64 bits
    for (int i = 0; i < kLanes; ++i) {
      shift[i] = static_cast<Lane>(2 * (i % kPerQword));
      group_start[i] = static_cast<Lane>(i % (kLanes / kRows) / 2 * 4);
    }
  }
};

}  // namespace sparse_gemm::cpu
