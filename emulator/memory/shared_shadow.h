// The shadow of a CTA's shared memory: for each granule who wrote it last, who has read it since,
// and whether a copy into it is in flight.
//
// Granules begin as large as the variables' bounds allow and are split when a smaller access comes,
// so that every access covers whole granules and nothing is lost by not keeping single bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "memory/access.h"
#include "memory/async_copies.h"
#include "memory/clocks.h"
#include "memory/shared_memory.h"

namespace emulator {

// A stamp is time << 5 | warp; 0 means never.
using Stamp = uint32_t;
inline constexpr int kStampWarpBits = 5;
inline constexpr Stamp kStampWarp = (1 << kStampWarpBits) - 1;
inline constexpr Stamp stamp(int warp, uint32_t time) {
  return time << kStampWarpBits | static_cast<uint32_t>(warp);
}
inline constexpr int warp_of(Stamp stamp) {
  return static_cast<int>(stamp & kStampWarp);
}
inline constexpr uint32_t time_of(Stamp stamp) {
  return stamp >> kStampWarpBits;
}

// In place of a write's stamp: a cp.async of (lane, warp) is in flight, or the granule lies in no
// variable. Both are greater than any horizon, so what tests for order finds them too.
inline constexpr Stamp kPending = 0x8000'0000;
inline constexpr Stamp kOutside = 0xFFFF'FFFF;
inline constexpr Stamp pending(int warp, int lane) {
  return kPending | static_cast<uint32_t>(lane) << kStampWarpBits | static_cast<uint32_t>(warp);
}
inline constexpr bool is_pending(Stamp stamp) {
  return stamp >= kPending && stamp != kOutside;
}

struct Cell {
  Stamp write = 0;
  uint32_t read_time = 0;  // of all `readers`; or kManyReaders | an index
  uint32_t readers = 0;    // warps that have read since the last write, bit by bit
  uint32_t ops = 0;  // Op ids, for messages: of the readers, and << kWriteOpShift of the writer
};
inline constexpr int kWriteOpShift = 16;
inline constexpr uint32_t kManyReaders = 0x8000'0000;
// What is kept of an Op's id. The last value stands for all ids from there on.
inline constexpr uint32_t kLastOpId = 0xFFFF;

// Readers that one mask cannot hold: each warp's last read.
struct Readers {
  std::array<uint32_t, kMaxWarps> time{};
  std::array<uint16_t, kMaxWarps> op{};
};

struct SharedMemory::Shadow {
  Shadow(const Program& program, int64_t dynamic_bytes);

  void split_granules(int bytes);  // until an access of `bytes` covers whole ones
  Cell* cells_at(uint64_t offset) { return cells.data() + (offset >> granule_shift); }
  uint32_t take_readers();

  const Program& program;
  int64_t dynamic_begin = 0;
  int64_t bytes = 0;
  std::vector<std::byte> data;
  int granule_shift = 0;
  std::vector<Cell> cells;
  std::vector<Readers> many_readers;
  std::vector<uint32_t> free_readers;
  // What was released through a flag, by address; those of shared memory are within kSharedWindow.
  std::unordered_map<uint64_t, SyncClock> flags;
  std::vector<AsyncArrival> async_arrivals;  // that have not happened yet
};

// Checks an access, whose lanes are aligned and lie within the shared memory, against the shadow
// and records it there. Reports what it finds; returns the lanes that lie in no variable.
LaneMask check_shared(Access& access);
// The same for the destination of a cp.async: from then on its bytes are in flight.
LaneMask check_copy(Access& access);
// The copies of these lanes are complete as of `time`: their bytes count as written by the warp.
// `op`: the copy. Bytes that something else has written meanwhile stay as they are.
void complete_copy(Warp& warp, const Op& op, LaneMask lanes, const uint32_t* offsets, int bytes,
                   uint32_t time);

// Orders the warps that use a flag, as seen by `warp`, which accesses it now.
void acquire_flag(Warp& warp, uint64_t address);
void release_flag(Warp& warp, uint64_t address);
void synchronise(Warp& warp, uint64_t address);  // both

// "smem_a+16", or "dynamic shared memory+16".
std::string name_shared(const SharedMemory::Shadow& shadow, uint64_t offset);

}  // namespace emulator
