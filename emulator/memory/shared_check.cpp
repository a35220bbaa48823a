// What every access to shared memory is checked for: bounds, what was written, races, copies in
// flight.
#include "memory/shared_shadow.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "report/findings.h"

namespace emulator {
namespace {

using Shadow = SharedMemory::Shadow;

// One, two and four cells. Checks read them as flat words: write, read_time, readers, ops.
typedef uint32_t OneCell __attribute__((vector_size(16)));
typedef uint32_t TwoCells __attribute__((vector_size(32)));
typedef uint32_t FourCells __attribute__((vector_size(64)));
constexpr int kCellWords = sizeof(Cell) / sizeof(uint32_t);

constexpr uint32_t kAll = 0xFFFF'FFFF;
constexpr uint32_t kReadOp = kLastOpId;

enum class Use : uint8_t { kRead, kWrite, kUpdate, kCopy };

// One cell, as often as V holds cells.
template <typename V>
V repeat(uint32_t write, uint32_t read_time, uint32_t readers, uint32_t ops) {
  const OneCell cell = {write, read_time, readers, ops};
  if constexpr (sizeof(V) == sizeof(FourCells)) {
    return __builtin_shufflevector(cell, cell, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
  } else if constexpr (sizeof(V) == sizeof(TwoCells)) {
    return __builtin_shufflevector(cell, cell, 0, 1, 2, 3, 0, 1, 2, 3);
  } else {
    return cell;
  }
}

// The readers of each cell take the place of the time at which they read.
template <typename V>
V readers_second(const V& cells) {
  if constexpr (sizeof(V) == sizeof(FourCells)) {
    return __builtin_shufflevector(cells, cells, 0, 2, 2, 3, 4, 6, 6, 7, 8, 10, 10, 11, 12, 14, 14,
                                   15);
  } else if constexpr (sizeof(V) == sizeof(TwoCells)) {
    return __builtin_shufflevector(cells, cells, 0, 2, 2, 3, 4, 6, 6, 7);
  } else {
    return __builtin_shufflevector(cells, cells, 0, 2, 2, 3);
  }
}

// Cells are aligned as one, not as the vectors that hold several.
template <typename V>
void load(V& vector, const Cell* cells) {
  std::memcpy(&vector, cells, sizeof(V));
}
template <typename V>
void store(Cell* cells, const V& vector) {
  std::memcpy(static_cast<void*>(cells), &vector, sizeof(V));
}

template <typename V>
bool any(const V& vector, int word) {
  uint32_t all = 0;
  for (size_t i = word; i < sizeof(V) / sizeof(uint32_t); i += kCellWords) all |= vector[i];
  return all != 0;
}

struct Problem {
  LaneMask lanes = 0;
  uint64_t offset = 0;  // of the first one
  Stamp stamp = 0;      // what it clashes with
  uint32_t op = 0;
  bool with_read = false;
};

class Check {
 public:
  Check(Access& access, Use use)
      : access_(access),
        use_(use),
        shadow_(access.warp.cta().shared.shadow()),
        clocks_(access.warp.cta().clocks),
        warp_(access.warp.index()),
        now_(clocks_.now(warp_)),
        op_(std::min<uint32_t>(access.op.id, kLastOpId)),
        cells_per_lane_(access.bytes >> shadow_.granule_shift) {}

  LaneMask run() {
    const bool one_address = access_.low == access_.high;
    lanes_ = one_address ? access_.active & -access_.active : access_.active;
    contiguous_ = use_ != Use::kCopy && access_.contiguous;
    bool done;
    if (contiguous_ || cells_per_lane_ >= 4) {
      done = run_fast<FourCells>();
    } else if (cells_per_lane_ == 2) {
      done = run_fast<TwoCells>();
    } else {
      done = run_fast<OneCell>();
    }
    if (!done) {
      for_lanes(access_.active, [&](int lane) { visit_lane(lane); });
      report_problems();
    }
    return outside_.lanes;
  }

 private:
  template <typename V, typename F>
  void for_each(F f) {
    constexpr int kCells = sizeof(V) / sizeof(Cell);
    if (contiguous_) {
      Cell* cells = shadow_.cells_at(access_.address[0]);
      const int num_cells = kWarpLanes * cells_per_lane_;
      for (int i = 0; i < num_cells; i += kCells) f(cells + i, 0);
      return;
    }
    for_lanes(lanes_, [&](int lane) {
      Cell* cells = shadow_.cells_at(access_.address[lane]);
      for (int i = 0; i < cells_per_lane_; i += kCells) f(cells + i, lane);
    });
  }

  // Whether each cell was last written and read before the horizon, or by this warp, which is the
  // usual case and told by a few compares. It is then recorded by one operation more; if not,
  // nothing is recorded.
  template <typename V>
  bool run_fast() {
    bool writes_ordered, reads_ordered, reads_alike;
    look<V, false>(writes_ordered, reads_ordered, reads_alike);
    if (!writes_ordered || (!reads_ordered && !(use_ == Use::kRead && reads_alike))) {
      look<V, true>(writes_ordered, reads_ordered, reads_alike);
    }
    if (!writes_ordered) return false;
    if (use_ == Use::kRead) {
      if (!reads_ordered && !reads_alike) return false;
      const uint32_t others = reads_ordered ? 0 : kAll;
      record(repeat<V>(kAll, others, others, ~kReadOp), repeat<V>(0, now_, 1u << warp_, op_));
      return true;
    }
    if (!reads_ordered) return false;
    if (use_ == Use::kCopy) {
      record_copy<V>();
    } else {
      record(V{}, repeat<V>(stamp(warp_, now_), 0, 0, op_ << kWriteOpShift));
    }
    return true;
  }

  // reads_alike: all readers were at this time and at this instruction, so one mask holds them.
  template <typename V, bool kOwnCounts>
  void look(bool& writes_ordered, bool& reads_ordered, bool& reads_alike) {
    const uint32_t horizon = std::max(clocks_.horizon(warp_), 1u);
    // For reads, never written is 0 - 1 and so beyond every limit.
    const uint32_t bias = use_ == Use::kRead || use_ == Use::kUpdate ? 1 : 0;
    const V biases = repeat<V>(bias, 0, 0, 0);
    const V last = repeat<V>((horizon << kStampWarpBits) - bias - 1, horizon - 1, kAll, kAll);
    const V mine = repeat<V>(0, now_, 0, op_);
    const V mine_mask = repeat<V>(0, kAll, 0, kReadOp);
    // A biased stamp is this warp's if it has its number; readers are, if no other bit is set.
    const V own = repeat<V>((warp_ - bias) & kStampWarp, 0, 0, 0);
    const V own_mask = repeat<V>(kPending | kStampWarp, ~(1u << warp_), 0, 0);
    V unordered = {}, unlike = {};
    for_each<V>([&](const Cell* cells, int) {
      V flat;
      load(flat, cells);
      unlike |= (flat ^ mine) & mine_mask;
      const V biased = flat - biases;
      V late = reinterpret_cast<V>(biased > last);
      if constexpr (kOwnCounts) {
        late &= reinterpret_cast<V>(((readers_second(biased) ^ own) & own_mask) != 0);
      }
      unordered |= late;
    });
    writes_ordered = !any(unordered, 0);
    reads_ordered = !any(unordered, 1);
    reads_alike = !any(unlike, 1) && !any(unlike, 3);
  }

  template <typename V>
  void record(const V& keep, const V& set) {
    for_each<V>([&](Cell* cells, int) {
      V flat;
      load(flat, cells);
      flat = (flat & keep) | set;
      store(cells, flat);
    });
  }

  template <typename V>
  void record_copy() {
    const V lane_step = repeat<V>(pending(0, 1) & ~kPending, 0, 0, 0);
    const V first = repeat<V>(pending(warp_, 0), 0, 0, op_ << kWriteOpShift);
    for_each<V>([&](Cell* cells, int lane) {
      const V flat = first + lane_step * static_cast<uint32_t>(lane);
      store(cells, flat);
    });
  }

  void visit_lane(int lane) {
    const uint64_t first = access_.address[lane];
    Cell* cells = shadow_.cells_at(first);
    for (int i = 0; i < cells_per_lane_; ++i) {
      visit(cells[i], lane, first + (uint64_t(i) << shadow_.granule_shift));
    }
  }

  void visit(Cell& cell, int lane, uint64_t offset) {
    const uint32_t writer_op = cell.ops >> kWriteOpShift;
    if (cell.write == kOutside) {
      add(outside_, lane, offset, 0, 0, false);
      return;
    }
    const bool reads = use_ == Use::kRead || use_ == Use::kUpdate;
    if (is_pending(cell.write)) {
      add(pending_, lane, offset, cell.write, writer_op, false);
      // Recording a read would hide nothing and a write would end the copy: leave it in flight.
      return;
    }
    if (cell.write == 0) {
      if (reads) add(unwritten_, lane, offset, 0, 0, false);
    } else if (!clocks_.is_ordered(warp_, warp_of(cell.write), time_of(cell.write))) {
      add(race_, lane, offset, cell.write, writer_op, false);
    }
    if (use_ == Use::kRead) {
      note_read(cell);
    } else {
      check_readers(cell, lane, offset);
      if ((cell.read_time & kManyReaders) != 0) {
        shadow_.free_readers.push_back(cell.read_time & ~kManyReaders);
      }
      const Stamp mine = use_ == Use::kCopy ? pending(warp_, lane) : stamp(warp_, now_);
      cell = {mine, 0, 0, op_ << kWriteOpShift};
    }
  }

  void check_readers(const Cell& cell, int lane, uint64_t offset) {
    for (LaneMask rest = cell.readers; rest != 0; rest &= rest - 1) {
      const int reader = std::countr_zero(rest);
      uint32_t time = cell.read_time, op = cell.ops & kReadOp;
      if ((cell.read_time & kManyReaders) != 0) {
        const Readers& many = shadow_.many_readers[cell.read_time & ~kManyReaders];
        time = many.time[reader];
        op = many.op[reader];
      }
      if (!clocks_.is_ordered(warp_, reader, time)) {
        add(race_, lane, offset, stamp(reader, time), op, true);
        return;
      }
    }
  }

  void note_read(Cell& cell) {
    const uint32_t bit = 1u << warp_;
    const bool many = (cell.read_time & kManyReaders) != 0;
    bool all_ordered = true;
    for (LaneMask rest = cell.readers & ~bit; rest != 0; rest &= rest - 1) {
      const int reader = std::countr_zero(rest);
      const uint32_t time =
          many ? shadow_.many_readers[cell.read_time & ~kManyReaders].time[reader] : cell.read_time;
      all_ordered &= clocks_.is_ordered(warp_, reader, time);
    }
    const uint32_t writer_op = cell.ops & ~kReadOp;
    if (all_ordered) {
      // Whoever comes after this read comes after those before it too.
      if (many) shadow_.free_readers.push_back(cell.read_time & ~kManyReaders);
      cell = {cell.write, now_, bit, writer_op | op_};
      return;
    }
    if (!many) {
      if (cell.read_time == now_ && (cell.ops & kReadOp) == op_) {
        cell.readers |= bit;
        return;
      }
      const uint32_t index = shadow_.take_readers();
      for (LaneMask rest = cell.readers; rest != 0; rest &= rest - 1) {
        const int reader = std::countr_zero(rest);
        shadow_.many_readers[index].time[reader] = cell.read_time;
        shadow_.many_readers[index].op[reader] = static_cast<uint16_t>(cell.ops & kReadOp);
      }
      cell.read_time = kManyReaders | index;
    }
    Readers& readers = shadow_.many_readers[cell.read_time & ~kManyReaders];
    readers.time[warp_] = now_;
    readers.op[warp_] = static_cast<uint16_t>(op_);
    cell.readers |= bit;
  }

  static void add(Problem& problem, int lane, uint64_t offset, Stamp stamp, uint32_t op,
                  bool with_read) {
    if (problem.lanes == 0) {
      problem.offset = offset;
      problem.stamp = stamp;
      problem.op = op;
      problem.with_read = with_read;
    }
    problem.lanes |= 1u << lane;
  }

  const Op* op_named(uint32_t id) const {
    return id < kLastOpId ? &shadow_.program.ops[id] : nullptr;
  }

  std::string subject() const {
    return use_ == Use::kCopy ? "cp.async of " + std::to_string(access_.bytes) + " bytes"
                              : describe(access_);
  }

  void report_problems() const;

  Access& access_;
  const Use use_;
  Shadow& shadow_;
  const Clocks& clocks_;
  const int warp_;
  const uint32_t now_, op_;
  const int cells_per_lane_;
  LaneMask lanes_ = 0;       // that stand for all: one where all have the same address
  bool contiguous_ = false;  // and all lanes are recorded alike
  Problem outside_, unwritten_, race_, pending_;
};

void Check::report_problems() const {
  const std::string what = subject();
  if (outside_.lanes != 0) {
    report(FindingKind::kOutOfBounds, access_.site(outside_.lanes), outside_.offset,
           what + " in shared memory beyond " + name_shared(shadow_, outside_.offset));
  }
  if (unwritten_.lanes != 0) {
    report(FindingKind::kUninitialised, access_.site(unwritten_.lanes), unwritten_.offset,
           what + " of shared memory (" + name_shared(shadow_, unwritten_.offset) +
               ") that nothing has written");
  }
  if (pending_.lanes != 0) {
    const uint32_t lane = time_of(pending_.stamp & ~kPending);
    report(FindingKind::kUnfinishedCopy, access_.site(pending_.lanes), pending_.offset,
           what + " of shared memory (" + name_shared(shadow_, pending_.offset) +
               ") while a cp.async of warp " + std::to_string(warp_of(pending_.stamp)) + " lane " +
               std::to_string(lane) + " into it is in flight: that thread has not waited for it",
           op_named(pending_.op));
  }
  if (race_.lanes != 0) {
    report(FindingKind::kRace, access_.site(race_.lanes), race_.offset,
           what + " of shared memory (" + name_shared(shadow_, race_.offset) + ") and a " +
               (race_.with_read ? "read" : "write") + " by warp " +
               std::to_string(warp_of(race_.stamp)) + " with no barrier between",
           op_named(race_.op));
  }
}

}  // namespace

LaneMask check_shared(Access& access) {
  const Use use = access.intent == Intent::kRead    ? Use::kRead
                  : access.intent == Intent::kWrite ? Use::kWrite
                                                    : Use::kUpdate;
  return Check(access, use).run();
}

LaneMask check_copy(Access& access) {
  return Check(access, Use::kCopy).run();
}

}  // namespace emulator
