// A warp: its lanes' registers, and what handlers may ask of their surroundings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "execute/program.h"

namespace emulator {

class Cta;
class WarpControl;  // execute/control_flow.h: where each lane is
struct WarpCopies;  // memory/async_copies.h: cp.async in flight

class Warp {
 public:
  Warp(Cta& cta, int index, LaneMask existing);
  ~Warp();
  Warp(const Warp&) = delete;
  Warp& operator=(const Warp&) = delete;

  uint32_t* u32(int32_t offset) { return reinterpret_cast<uint32_t*>(registers_.get() + offset); }
  int32_t* s32(int32_t offset) { return reinterpret_cast<int32_t*>(registers_.get() + offset); }
  float* f32(int32_t offset) { return reinterpret_cast<float*>(registers_.get() + offset); }
  uint64_t* u64(int32_t offset) { return reinterpret_cast<uint64_t*>(registers_.get() + offset); }
  int64_t* s64(int32_t offset) { return reinterpret_cast<int64_t*>(registers_.get() + offset); }
  double* f64(int32_t offset) { return reinterpret_cast<double*>(registers_.get() + offset); }
  std::byte* registers(int32_t offset) { return registers_.get() + offset; }
  LaneMask& predicate(int32_t offset) { return *u32(offset); }

  Cta& cta() { return cta_; }
  int index() const { return index_; }             // within the CTA
  LaneMask existing() const { return existing_; }  // lanes that have a thread
  std::byte* local(int lane);                      // the lane's local memory, Program::local_bytes
  void yield() { yields_ = true; }  // let other warps run before this one's next instruction
  bool yields() const { return yields_; }
  bool take_yield() {
    const bool yields = yields_;
    yields_ = false;
    return yields;
  }

  WarpControl& control() { return *control_; }
  WarpCopies& copies() { return *copies_; }

 private:
  Cta& cta_;
  int index_;
  LaneMask existing_;
  bool yields_ = false;
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> registers_;  // 64-byte aligned
  std::unique_ptr<std::byte[]> local_;
  std::unique_ptr<WarpControl> control_;
  std::unique_ptr<WarpCopies> copies_;
};

// Calls f(lane) for each lane of `active`; a full warp takes a loop that vectorises.
template <typename F>
inline void for_lanes(LaneMask active, F&& f) {
  if (active == kAllLanes) {
    for (int lane = 0; lane < kWarpLanes; ++lane) f(lane);
  } else {
    for (LaneMask rest = active; rest != 0; rest &= rest - 1) f(__builtin_ctz(rest));
  }
}

}  // namespace emulator
