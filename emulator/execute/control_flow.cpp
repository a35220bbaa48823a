#include "execute/control_flow.h"

#include <algorithm>

#include "execute/warp.h"
#include "report/location.h"

namespace emulator {
namespace {

// Long enough that a loop with uneven trip counts stays together, short enough that a lock between
// lanes of a warp is passed on without a pause that anybody notices.
constexpr int32_t kPatience = 1 << 14;

}  // namespace

WarpControl::WarpControl(Warp& warp, int32_t entry)
    : warp_(warp), program_(*warp.cta().launch.program), live_(warp.existing()) {
  add_fragment(live_, entry, -1);
}

int WarpControl::pick() {
  if (num_runnable_ == 0) return -1;
  const int size = static_cast<int>(fragments_.size());
  if (size == 1) return 0;
  int chosen = static_cast<int>(warp_.cta().random() % num_runnable_);
  for (int i = 0; i < size; ++i) {
    if (fragments_[i].state == Fragment::State::kRunnable && chosen-- == 0) return i;
  }
  return -1;
}

int32_t WarpControl::meeting_point(const Fragment& fragment) const {
  constexpr int32_t kNowhere = -1;
  if (fragment.join < 0 || joins_[fragment.join].site != nullptr) return kNowhere;
  return joins_[fragment.join].pc;
}

void WarpControl::set_state(Fragment& fragment, Fragment::State state) {
  num_runnable_ -= fragment.state == Fragment::State::kRunnable;
  num_runnable_ += state == Fragment::State::kRunnable;
  fragment.state = state;
}

void WarpControl::add_fragment(LaneMask lanes, int32_t pc, int32_t join) {
  const Fragment fragment{lanes, pc, join};
  if (pc == meeting_point(fragment)) {
    arrive_at_join(join, lanes);
    return;
  }
  fragments_.push_back(fragment);
  ++num_runnable_;
}

void WarpControl::remove_fragment(int index) {
  num_runnable_ -= fragments_[index].state == Fragment::State::kRunnable;
  fragments_[index] = fragments_.back();
  fragments_.pop_back();
}

// Takes `lanes` out of a fragment; what is left of it goes on after its instruction.
void WarpControl::remove_lanes(int index, LaneMask lanes) {
  const Fragment fragment = fragments_[index];
  remove_fragment(index);
  if (fragment.lanes != lanes)
    add_fragment(fragment.lanes & ~lanes, fragment.pc + 1, fragment.join);
}

int32_t WarpControl::new_join(LaneMask lanes, int32_t pc, int32_t parent) {
  auto free = std::ranges::find(joins_, LaneMask{0}, &Join::expected);
  if (free == joins_.end()) free = joins_.emplace(joins_.end());
  *free = Join();
  free->expected = lanes;
  free->pc = pc;
  free->parent = parent;
  return static_cast<int32_t>(free - joins_.begin());
}

void WarpControl::arrive_at_join(int32_t index, LaneMask lanes) {
  Join& join = joins_[index];
  num_waiting_joins_ += join.arrived == 0;
  join.arrived |= lanes;
  join.patience = kPatience;
  if (join.arrived == join.expected) release_join(index);
}

// `lanes` will not come to the joins from `first` up to, not including, its ancestor `last`.
void WarpControl::leave_joins(int32_t first, int32_t last, LaneMask lanes) {
  for (int32_t index = first; index != last;) {
    Join& join = joins_[index];
    const int32_t parent = join.parent;
    join.expected &= ~lanes;
    if (join.expected == 0) {
      join.saved.reset();
    } else if (join.arrived == join.expected) {
      release_join(index);
    }
    index = parent;
  }
}

// Those that have arrived go on together; those still to come will go on without them.
void WarpControl::release_join(int32_t index) {
  Join& join = joins_[index];
  const LaneMask lanes = join.arrived;
  join.expected &= ~lanes;
  join.arrived = 0;
  --num_waiting_joins_;
  if (join.expected == 0) join.saved.reset();
  add_fragment(lanes, join.pc, join.parent);
}

void WarpControl::lose_patience(int num_instructions) {
  for (size_t i = 0; i < joins_.size() && num_waiting_joins_ > 0; ++i) {
    if (joins_[i].arrived == 0) continue;
    joins_[i].patience -= num_instructions;
    if (joins_[i].patience <= 0) release_join(static_cast<int32_t>(i));
  }
}

void WarpControl::release_all_joins() {
  for (size_t i = 0; i < joins_.size(); ++i) {
    if (joins_[i].arrived != 0) release_join(static_cast<int32_t>(i));
  }
}

void WarpControl::part(int index, LaneMask taken, int32_t target, int32_t other,
                       int32_t reconverge) {
  const Fragment whole = fragments_[index];
  int32_t join = whole.join;
  // Lanes that leave a loop one after the other all meet at the join that the first of them made.
  if (reconverge >= 0 && meeting_point(whole) != reconverge) {
    join = new_join(whole.lanes, reconverge, whole.join);
  }
  remove_fragment(index);
  add_fragment(taken, target, join);
  add_fragment(whole.lanes & ~taken, other, join);
}

WarpControl::Next WarpControl::exit_lanes(int index, LaneMask lanes) {
  const Fragment fragment = fragments_[index];
  live_ &= ~lanes;
  remove_lanes(index, lanes);
  leave_joins(fragment.join, -1, lanes);
  if (live_ == 0) {
    complete_barriers(warp_.cta());
  } else {
    retry_syncs();
  }
  return Next::kSwitch;
}

std::string WarpControl::describe_place(int32_t pc) const {
  const Op& op = program_.ops[pc];
  if (op.source == nullptr) return "the end of " + op.function->name;
  return location_line(*program_.module, *op.source) + " (" + op.source->text + ")";
}

std::string WarpControl::describe() const {
  std::string text;
  for (const Fragment& fragment : fragments_) {
    const Op& op = program_.ops[fragment.pc];
    text += "\n      " + format_mask(fragment.lanes);
    if (fragment.state == Fragment::State::kRunnable) {
      text += " run at " + describe_place(fragment.pc);
      continue;
    }
    text += fragment.state == Fragment::State::kAtBarrier ? " wait at "
                                                          : " wait for lanes of their warp at ";
    text += describe_place(fragment.pc);
    if (op.control == Control::kBarrier) {
      const int id = barrier_id(warp_, op, fragment.lanes);
      text += " for " + describe_barrier(warp_.cta(), id);
    }
  }
  for (const Join& join : joins_) {
    if (join.arrived == 0) continue;
    text += "\n      " + format_mask(join.arrived) + " wait at " + describe_place(join.pc) +
            " to meet " + format_mask(join.expected & ~join.arrived);
  }
  return text;
}

FindingSite WarpControl::site() const {
  if (fragments_.empty()) return {&warp_};
  const auto waiting = std::ranges::find_if(fragments_, [](const Fragment& fragment) {
    return fragment.state != Fragment::State::kRunnable;
  });
  const Fragment& fragment = waiting == fragments_.end() ? fragments_.front() : *waiting;
  return {&warp_, &program_.ops[fragment.pc], fragment.lanes};
}

}  // namespace emulator
