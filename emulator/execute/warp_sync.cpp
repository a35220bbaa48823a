// Instructions that need other lanes of their warp: .aligned, member masks, barriers of the CTA.
#include <algorithm>
#include <bit>

#include "execute/control_flow.h"
#include "execute/warp.h"
#include "report/findings.h"

namespace emulator {
namespace {

// Lanes that name themselves not in their member mask: undefined by the ISA.
void check_own_membership(Warp& warp, const Op& op, LaneMask lanes) {
  if (op.sync_mask < 0) return;
  const uint32_t* const masks = warp.u32(op.sync_mask);
  LaneMask absent = 0;
  for_lanes(lanes, [&](int lane) { absent |= (~masks[lane] >> lane & 1u) << lane; });
  if (absent == 0) return;
  report(FindingKind::kInvalidArgument, {&warp, &op, absent}, std::nullopt,
         "the executing lane is not in its own member mask");
}

bool is_warp_barrier(const Op& op) {
  return op.source->opcode == "bar" && op.sync_mask >= 0;
}

}  // namespace

WarpControl::Next WarpControl::synchronise(int index, const Op& op) {
  Fragment& fragment = fragments_[index];
  if (op.control == Control::kSync) {
    check_own_membership(warp_, op, fragment.lanes);
    if (fragment.lanes == live_) {
      op.handler(warp_, op, fragment.lanes);
      ++fragment.pc;
      return Next::kGoOn;
    }
  }
  set_state(fragment, Fragment::State::kAtSync);
  complete_sync(index);
  return Next::kSwitch;
}

// Whether two fragments that wait for lanes may be waiting for each other.
bool WarpControl::wait_together(const Fragment& a, const Fragment& b) const {
  if (a.state != Fragment::State::kAtSync || b.state != Fragment::State::kAtSync) return false;
  if (a.pc == b.pc) return true;
  const Op& first = program_.ops[a.pc];
  const Op& second = program_.ops[b.pc];
  // Different instructions may meet where nothing passes between the lanes.
  if (first.control == Control::kSync) {
    return second.control == Control::kSync && is_warp_barrier(first) && is_warp_barrier(second);
  }
  return second.control == Control::kBarrier && !first.aligned && !second.aligned &&
         barrier_id(warp_, first, a.lanes) == barrier_id(warp_, second, b.lanes);
}

// Which of the lanes `there` have all company that `op` asks for. Those that have exited are not
// waited for.
LaneMask WarpControl::ready_lanes(const Op& op, LaneMask there) const {
  const LaneMask missing = live_ & ~there;
  if (missing == 0) return there;
  if (op.aligned || op.control == Control::kBarrier) return 0;
  const uint32_t* const masks = warp_.u32(op.sync_mask);
  LaneMask ready = 0;
  for_lanes(there, [&](int lane) { ready |= LaneMask{(masks[lane] & missing) == 0} << lane; });
  return ready;
}

bool WarpControl::complete_sync(int index) {
  std::vector<int> group;
  LaneMask there = 0;
  for (int i = 0; i < static_cast<int>(fragments_.size()); ++i) {
    if (i != index && !wait_together(fragments_[index], fragments_[i])) continue;
    group.push_back(i);
    there |= fragments_[i].lanes;
  }
  const LaneMask ready = ready_lanes(program_.ops[fragments_[index].pc], there);
  std::erase_if(group, [&](int i) { return (fragments_[i].lanes & ready) == 0; });
  if (group.empty()) return false;
  for (const int i : group) {
    const Fragment fragment = fragments_[i];
    if ((fragment.lanes & ~ready) == 0) continue;
    // Masks differ within the fragment: those that are ready come back without the others.
    part(i, fragment.lanes & ready, fragment.pc, fragment.pc, fragment.pc + 1);
    return true;
  }
  finish_sync(std::move(group));
  return true;
}

void WarpControl::retry_syncs() {
  for (size_t i = 0; i < fragments_.size();) {
    const bool waits = fragments_[i].state == Fragment::State::kAtSync;
    i = waits && complete_sync(static_cast<int>(i)) ? 0 : i + 1;
  }
}

// Executes the instruction that the fragments of `group` wait at.
void WarpControl::finish_sync(std::vector<int> group) {
  const Op& first = program_.ops[fragments_[group[0]].pc];
  if (first.control == Control::kBarrier) {
    finish_barrier(group);
    return;
  }
  LaneMask lanes = 0;
  for (const int i : group) lanes |= fragments_[i].lanes;
  if (!is_warp_barrier(first)) first.handler(warp_, first, lanes);
  std::vector<Fragment> parts;
  std::ranges::sort(group, std::greater());
  for (const int i : group) {
    parts.push_back(fragments_[i]);
    remove_fragment(i);
  }
  go_on_together(std::move(parts));
}

// Fragments that have executed one instruction together stay together, unless they are in different
// calls of its function.
void WarpControl::go_on_together(std::vector<Fragment> parts) {
  const auto can_merge = [&](const Fragment& fragment) {
    return fragment.pc == parts[0].pc && frame_of(fragment.join) == frame_of(parts[0].join);
  };
  if (!std::ranges::all_of(parts, can_merge)) {
    for (const Fragment& fragment : parts) {
      add_fragment(fragment.lanes, fragment.pc + 1, fragment.join);
    }
    return;
  }
  LaneMask lanes = 0;
  int32_t join = parts[0].join;
  for (const Fragment& fragment : parts) {
    lanes |= fragment.lanes;
    join = common_join(join, fragment.join);
  }
  for (const Fragment& fragment : parts) leave_joins(fragment.join, join, fragment.lanes);
  add_fragment(lanes, parts[0].pc + 1, join);
}

int32_t WarpControl::common_join(int32_t a, int32_t b) const {
  for (; a >= 0; a = joins_[a].parent) {
    for (int32_t other = b; other >= 0; other = joins_[other].parent) {
      if (other == a) return a;
    }
  }
  return -1;
}

// The whole warp has come to one barrier, perhaps through several instructions.
void WarpControl::finish_barrier(const std::vector<int>& group) {
  std::vector<BarrierArrival> arrivals;
  for (const int i : group) {
    arrivals.push_back({&program_.ops[fragments_[i].pc], fragments_[i].lanes});
    set_state(fragments_[i], Fragment::State::kAtBarrier);
  }
  arrive(warp_, arrivals);
}

// Fragments that waited, and those that only announce their arrival, go on.
void WarpControl::pass_barrier(uint32_t num_set, uint32_t num_predicates) {
  std::vector<Fragment> parts;
  for (int i = static_cast<int>(fragments_.size()) - 1; i >= 0; --i) {
    if (fragments_[i].state != Fragment::State::kAtBarrier) continue;
    parts.push_back(fragments_[i]);
    remove_fragment(i);
  }
  for (const Fragment& fragment : parts) {
    store_reduction(warp_, program_.ops[fragment.pc], fragment.lanes, num_set, num_predicates);
  }
  if (!parts.empty()) go_on_together(std::move(parts));
}

// All fragments wait. Joins are there for speed: where lanes wait for others without having to be
// together, those at joins may be the ones to come.
void WarpControl::unblock() {
  const auto waits_at_barrier = [](const Fragment& fragment) {
    return fragment.state == Fragment::State::kAtBarrier;
  };
  const auto waits_unaligned = [&](const Fragment& fragment) {
    return !waits_at_barrier(fragment) && !program_.ops[fragment.pc].aligned;
  };
  if (std::ranges::any_of(fragments_, waits_unaligned)) release_all_joins();
  // With some lanes at a barrier it is for the CTA to say that the others cannot come.
  if (num_runnable_ == 0 && std::ranges::none_of(fragments_, waits_at_barrier)) force_sync();
}

bool WarpControl::force_sync() {
  const auto stuck = std::ranges::find_if(fragments_, [&](const Fragment& fragment) {
    const Op& op = program_.ops[fragment.pc];
    return fragment.state == Fragment::State::kAtSync &&
           (op.aligned || op.control == Control::kSync);
  });
  if (stuck == fragments_.end()) return false;
  std::vector<int> group;
  LaneMask lanes = 0;
  for (int i = 0; i < static_cast<int>(fragments_.size()); ++i) {
    const Fragment& fragment = fragments_[i];
    if (fragment.state != Fragment::State::kAtSync || fragment.pc != stuck->pc) continue;
    group.push_back(i);
    lanes |= fragment.lanes;
  }
  const Op& op = program_.ops[stuck->pc];
  const std::string what = op.aligned ? "the whole warp must execute this together"
                                      : "lanes of the member mask do not come";
  report(FindingKind::kDivergentAligned, {&warp_, &op, lanes}, std::nullopt,
         what + "; " + format_mask(lanes) + " are here, " + format_mask(live_ & ~lanes) +
             " are not:" + describe());
  finish_sync(std::move(group));
  return true;
}

}  // namespace emulator
