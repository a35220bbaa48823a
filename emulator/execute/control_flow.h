// Where each lane of a warp is.
//
// The lanes of a warp that go together are a fragment. A branch that parts them makes two, which
// meet at the branch's post-dominator: a join holds those that are there until the others have
// come, have exited or have returned. Any fragment may run; one that spins lets those go on that
// wait for it (independent thread scheduling), so that joins are a matter of speed, never of
// progress.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "execute/barriers.h"
#include "execute/launch.h"
#include "execute/program.h"
#include "report/findings.h"

namespace emulator {

struct Fragment {
  enum class State : uint8_t {
    kRunnable,
    kAtSync,     // waits for lanes of its warp to come to the instruction at pc
    kAtBarrier,  // has arrived at a barrier of the CTA, with its whole warp
  };
  LaneMask lanes = 0;
  int32_t pc = 0;     // index of an Op
  int32_t join = -1;  // of WarpControl::joins_; -1: these lanes are to meet no others
  State state = State::kRunnable;
};

// What a recursive call found in its callee's registers and local memory.
struct SavedFrame {
  std::vector<std::byte> registers;
  std::vector<std::byte> local;  // lane after lane
};

class WarpControl {
 public:
  WarpControl(Warp& warp, int32_t entry);

  // Runs up to `budget` instructions; returns how many. Stops early where the warp blocks, yields
  // or ends, or its CTA fails.
  int run(int budget);

  LaneMask live() const { return live_; }  // lanes that have not exited
  bool is_done() const { return live_ == 0; }
  bool is_runnable() const { return num_runnable_ > 0; }

  // Lets lanes go on that wait at an instruction for others that cannot come, with a finding. False
  // where nobody waits so.
  bool force_sync();
  // The barrier that the warp waits at is complete; a reduction gave `num_set` of `num_predicates`.
  void pass_barrier(uint32_t num_set, uint32_t num_predicates);

  // What each fragment waits for and where, a line each, indented.
  std::string describe() const;
  // Where the warp stands, or what it waits at.
  FindingSite site() const;

 private:
  struct Join {
    LaneMask expected = 0;  // 0: free for use
    LaneMask arrived = 0;
    int32_t pc = 0;  // where they go on
    int32_t parent = -1;
    int32_t patience = 0;            // instructions that the warp may run while lanes wait here
    const CallSite* site = nullptr;  // of a call: lanes come here by `ret` alone
    int callee = -1;
    std::unique_ptr<SavedFrame> saved;
  };
  enum class Next : uint8_t { kGoOn, kSwitch };  // with the current fragment, or to another

  // interpreter.cpp
  int run_fragment(int index, int budget);
  Next execute_control(int index, const Op& op, LaneMask active);
  Next branch_indexed(int index, const Op& op);
  Next trap(const Op& op, LaneMask lanes);

  // control_flow.cpp
  int pick();
  int32_t meeting_point(const Fragment& fragment) const;
  void set_state(Fragment& fragment, Fragment::State state);
  void add_fragment(LaneMask lanes, int32_t pc, int32_t join);
  void remove_fragment(int index);
  void remove_lanes(int index, LaneMask lanes);
  int32_t new_join(LaneMask lanes, int32_t pc, int32_t parent);
  void arrive_at_join(int32_t join, LaneMask lanes);
  void leave_joins(int32_t first, int32_t last, LaneMask lanes);
  void release_join(int32_t join);
  void lose_patience(int num_instructions);
  void release_all_joins();
  void part(int index, LaneMask taken, int32_t target, int32_t other, int32_t reconverge);
  Next exit_lanes(int index, LaneMask lanes);

  // calls.cpp
  Next call(int index, const Op& op);
  Next return_lanes(int index, LaneMask lanes);
  int32_t frame_of(int32_t join) const;
  int callee_of(const Op& op, LaneMask lanes, LaneMask& same) const;
  bool is_running(int function, const Fragment& fragment) const;
  void save_frame(Join& join, LaneMask lanes);
  void restore_frame(const Join& join, LaneMask lanes);

  // warp_sync.cpp
  Next synchronise(int index, const Op& op);
  bool complete_sync(int index);
  void unblock();
  void retry_syncs();
  bool wait_together(const Fragment& a, const Fragment& b) const;
  LaneMask ready_lanes(const Op& op, LaneMask there) const;
  void finish_sync(std::vector<int> group);
  void finish_barrier(const std::vector<int>& group);
  void go_on_together(std::vector<Fragment> parts);
  int32_t common_join(int32_t a, int32_t b) const;
  std::string describe_place(int32_t pc) const;

  Warp& warp_;
  const Program& program_;
  LaneMask live_;
  std::vector<Fragment> fragments_;
  std::vector<Join> joins_;
  int num_runnable_ = 0;
  int num_waiting_joins_ = 0;  // joins that hold lanes
};

}  // namespace emulator
