// What the control family's decoders leave for those who run its instructions.
#pragma once

#include <cstdint>
#include <vector>

namespace emulator {

using BranchTargets = std::vector<int32_t>;  // Op::extra of brx.idx: indices of Ops

// Op::flags of a barrier.
enum class BarrierKind : uint32_t { kSync, kArrive, kPopc, kAnd, kOr };

// Op::operands of a barrier; kNoOperand where it has none.
enum BarrierOperand { kBarrierId, kBarrierCount, kBarrierPredicate, kBarrierResult };
inline constexpr int32_t kNoOperand = -1;
// Op::immediate of a barrier: whether the predicate of its reduction is negated.

}  // namespace emulator
