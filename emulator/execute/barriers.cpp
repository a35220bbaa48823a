#include "execute/barriers.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "execute/control_flow.h"
#include "execute/control_ops.h"
#include "execute/warp.h"
#include "report/findings.h"

namespace emulator {
namespace {

bool waits(const Op& op) {
  return static_cast<BarrierKind>(op.flags) != BarrierKind::kArrive;
}

uint32_t first_lane_value(Warp& warp, int32_t operand, LaneMask lanes) {
  return warp.u32(operand)[std::countr_zero(lanes)];
}

int threads_expected(const Cta& cta, const CtaBarriers::Barrier& barrier) {
  if (barrier.expected != 0) return barrier.expected;
  const auto num_running =
      std::ranges::count_if(cta.warps, [](const auto& warp) { return !warp->control().is_done(); });
  return static_cast<int>(num_running) * kWarpLanes;
}

void complete_if_full(Cta& cta, CtaBarriers::Barrier& barrier) {
  if (barrier.arrived == 0 || barrier.arrived < threads_expected(cta, barrier)) return;
  const CtaBarriers::Barrier complete = std::exchange(barrier, {});
  for (Warp* const warp : complete.waiting) {
    cta.clocks.acquire(warp->index(), complete.clock);
    warp->control().pass_barrier(complete.num_set, complete.num_predicates);
  }
}

// The count of threads that `arrival` names; 0 where it names none.
int count_of(Warp& warp, const BarrierArrival& arrival) {
  const int32_t operand = arrival.op->operands[kBarrierCount];
  if (operand == kNoOperand) return 0;
  const int count = static_cast<int>(first_lane_value(warp, operand, arrival.lanes));
  if (count % kWarpLanes != 0 || count == 0) {
    report(FindingKind::kInvalidArgument, {&warp, arrival.op, arrival.lanes}, std::nullopt,
           "a barrier's count must be a positive multiple of 32, not " + std::to_string(count));
  }
  return count;
}

void add_predicates(Warp& warp, const BarrierArrival& arrival, CtaBarriers::Barrier& barrier) {
  const int32_t operand = arrival.op->operands[kBarrierPredicate];
  if (operand == kNoOperand) return;
  const LaneMask predicate = warp.predicate(operand);
  const LaneMask set = arrival.op->immediate != 0 ? ~predicate : predicate;
  barrier.num_set += std::popcount(set & arrival.lanes);
  barrier.num_predicates += std::popcount(arrival.lanes);
}

}  // namespace

int barrier_id(Warp& warp, const Op& op, LaneMask lanes) {
  return static_cast<int>(first_lane_value(warp, op.operands[kBarrierId], lanes)) % kNumBarriers;
}

void arrive(Warp& warp, std::span<const BarrierArrival> arrivals) {
  Cta& cta = warp.cta();
  const BarrierArrival& first = arrivals.front();
  const uint32_t id = first_lane_value(warp, first.op->operands[kBarrierId], first.lanes);
  if (id >= kNumBarriers) {
    report(FindingKind::kInvalidArgument, {&warp, first.op, first.lanes}, std::nullopt,
           "there is no barrier " + std::to_string(id));
  }
  CtaBarriers::Barrier& barrier = cta.barriers->barriers[id % kNumBarriers];
  const int count = count_of(warp, first);
  if (barrier.arrived != 0 && barrier.expected != count) {
    report(FindingKind::kInvalidArgument, {&warp, first.op, first.lanes}, std::nullopt,
           "barrier " + std::to_string(id) + " is in use with a count of " +
               std::to_string(barrier.expected) + ", not " + std::to_string(count));
  }
  barrier.expected = count;
  barrier.arrived += kWarpLanes;
  cta.clocks.release(warp.index(), barrier.clock);
  bool is_waiting = false;
  for (const BarrierArrival& arrival : arrivals) {
    add_predicates(warp, arrival, barrier);
    is_waiting |= waits(*arrival.op);
  }
  if (is_waiting) {
    barrier.waiting.push_back(&warp);
  } else {
    warp.control().pass_barrier(0, 0);
  }
  complete_if_full(cta, barrier);
}

void store_reduction(Warp& warp, const Op& op, LaneMask lanes, uint32_t num_set,
                     uint32_t num_predicates) {
  const int32_t result = op.operands[kBarrierResult];
  const auto store = [&](bool value) {
    LaneMask& predicate = warp.predicate(result);
    predicate = value ? predicate | lanes : predicate & ~lanes;
  };
  switch (static_cast<BarrierKind>(op.flags)) {
    case BarrierKind::kPopc:
      for_lanes(lanes, [&](int lane) { warp.u32(result)[lane] = num_set; });
      break;
    case BarrierKind::kAnd:
      store(num_set == num_predicates);
      break;
    case BarrierKind::kOr:
      store(num_set != 0);
      break;
    default:
      break;
  }
}

void complete_barriers(Cta& cta) {
  for (CtaBarriers::Barrier& barrier : cta.barriers->barriers) complete_if_full(cta, barrier);
}

std::string describe_barrier(const Cta& cta, int id) {
  const CtaBarriers::Barrier& barrier = cta.barriers->barriers[id];
  return "barrier " + std::to_string(id) + ", where " + std::to_string(barrier.arrived) + " of " +
         std::to_string(threads_expected(cta, barrier)) + " threads have arrived";
}

}  // namespace emulator
