// The main loop.
#include <bit>

#include "execute/control_flow.h"
#include "execute/control_ops.h"
#include "execute/warp.h"
#include "report/findings.h"

namespace emulator {
namespace {

// A fragment that yields waits for somebody: perhaps for lanes that wait for it.
constexpr int kYieldedInstructions = 64;

void count(OpCounters& counters, LaneMask active) {
  ++counters.executions;
  counters.active_lanes += std::popcount(active);
}

void uncount(OpCounters& counters, LaneMask active) {
  --counters.executions;
  counters.active_lanes -= std::popcount(active);
}

}  // namespace

int WarpControl::run(int budget) {
  Cta& cta = warp_.cta();
  int left = budget;
  bool has_yielded = false;
  while (left > 0 && !has_yielded && !is_done() && cta.failure == Failure::kNone) {
    const int index = pick();
    if (index < 0) break;
    const int used = left - run_fragment(index, left);
    left -= used;
    has_yielded = warp_.take_yield();
    if (num_runnable_ == 0) unblock();
    if (num_waiting_joins_ > 0) lose_patience(used + (has_yielded ? kYieldedInstructions : 0));
  }
  return budget - left;
}

// Returns what is left of the budget.
int WarpControl::run_fragment(int index, int left) {
  const Op* const ops = program_.ops.data();
  OpCounters* const counters = warp_.cta().counters.ops.data();
  int32_t pc = fragments_[index].pc;
  LaneMask lanes = fragments_[index].lanes;
  int32_t meeting = meeting_point(fragments_[index]);
  while (left > 0) {
    --left;
    const Op& op = ops[pc];
    LaneMask active = lanes;
    if (op.guard >= 0) {
      const LaneMask guard = warp_.predicate(op.guard);
      active &= op.guard_negated ? ~guard : guard;
    }
    count(counters[pc], active);
    if (active == 0) {
      ++pc;
    } else if (op.control == Control::kNone) [[likely]] {
      op.handler(warp_, op, active);
      ++pc;
      if (warp_.yields()) [[unlikely]]
        break;
    } else if (op.control == Control::kBranch && active == lanes) {
      pc = op.target;
    } else {
      fragments_[index].pc = pc;
      if (execute_control(index, op, active) == Next::kSwitch) return left;
      pc = fragments_[index].pc;
      lanes = fragments_[index].lanes;
      meeting = meeting_point(fragments_[index]);
      if (warp_.yields()) break;
    }
    if (pc == meeting) break;
  }
  fragments_[index].pc = pc;
  if (pc == meeting) {
    const int32_t join = fragments_[index].join;
    remove_fragment(index);
    arrive_at_join(join, lanes);
  }
  return left;
}

WarpControl::Next WarpControl::execute_control(int index, const Op& op, LaneMask active) {
  const Fragment& fragment = fragments_[index];
  const int32_t pc = fragment.pc;
  switch (op.control) {
    case Control::kBranch:
      part(index, active, op.target, pc + 1, op.reconverge);
      return Next::kSwitch;
    case Control::kReturn:
      return return_lanes(index, active);
    case Control::kExit:
      return exit_lanes(index, active);
    case Control::kTrap:
      return trap(op, active);
    default:
      break;
  }
  // What follows deals with whole fragments.
  if (active != fragment.lanes) {
    uncount(warp_.cta().counters.ops[pc], active);  // it comes back here
    part(index, active, pc, pc + 1, pc + 1);
    return Next::kSwitch;
  }
  switch (op.control) {
    case Control::kBranchIndexed:
      return branch_indexed(index, op);
    case Control::kCall:
      return call(index, op);
    default:
      return synchronise(index, op);
  }
}

// One target at a time: lanes with another come back to this instruction.
WarpControl::Next WarpControl::branch_indexed(int index, const Op& op) {
  const auto& targets = *static_cast<const BranchTargets*>(op.extra);
  const uint32_t* const choices = warp_.u32(op.operands[0]);
  Fragment& fragment = fragments_[index];
  const uint32_t choice = choices[std::countr_zero(fragment.lanes)];
  LaneMask same = 0;
  for_lanes(fragment.lanes, [&](int lane) { same |= LaneMask{choices[lane] == choice} << lane; });
  if (choice >= targets.size()) {
    report(FindingKind::kInvalidArgument, {&warp_, &op, same}, std::nullopt,
           "branch index " + std::to_string(choice) + " of " + std::to_string(targets.size()));
    warp_.cta().failure = Failure::kTrap;
    return Next::kSwitch;
  }
  if (same == fragment.lanes) {
    fragment.pc = targets[choice];
    return Next::kGoOn;
  }
  part(index, same, targets[choice], fragment.pc, op.reconverge);
  return Next::kSwitch;
}

WarpControl::Next WarpControl::trap(const Op& op, LaneMask lanes) {
  report(FindingKind::kTrap, {&warp_, &op, lanes}, std::nullopt, "the kernel traps");
  warp_.cta().failure = Failure::kTrap;
  return Next::kSwitch;
}

}  // namespace emulator
