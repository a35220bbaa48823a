// mbarrier.* as of sm_80, and cp.async.mbarrier.arrive.
//
// An mbarrier's 8 bytes, which PTX leaves opaque: arrivals that its phase still waits for, arrivals
// that a phase takes, the number of the phase, and a bit that tells it from other data.
#include <bit>
#include <cstring>

#include "memory/async_copies.h"
#include "memory/memory_decoding.h"
#include "memory/shared_shadow.h"
#include "report/findings.h"

namespace emulator {
namespace {

constexpr int kBarrierBytes = 8;
constexpr uint64_t kMostArrivals = (1u << 20) - 1;  // by the ISA

struct Barrier {
  uint64_t pending : 20;
  uint64_t expected : 20;
  uint64_t phase : 23;
  uint64_t valid : 1;
};
static_assert(sizeof(Barrier) == kBarrierBytes);

// The clocks of a barrier: what arrived at its current phase, and at those that are complete.
constexpr uint64_t arriving(uint64_t offset) {
  return kSharedWindow | offset | 1;
}
constexpr uint64_t completed(uint64_t offset) {
  return kSharedWindow | offset | 2;
}

enum class Wait : uint8_t { kState, kParity };

struct BarrierForm {
  AddressForm address;
  bool drops = false;
  bool no_complete = false;
  bool noinc = false;
};

Barrier load_barrier(const std::byte* place) {
  Barrier barrier;
  std::memcpy(&barrier, place, kBarrierBytes);
  return barrier;
}

void store_barrier(std::byte* place, Barrier barrier) {
  std::memcpy(place, &barrier, kBarrierBytes);
}

uint64_t token_of(Barrier barrier) {
  return std::bit_cast<uint64_t>(barrier);
}

// One arrival; the phase ends with the last one.
void arrive_once(SharedMemory::Shadow& shadow, uint64_t offset, Barrier& barrier, bool drops) {
  if (drops) barrier.expected = barrier.expected - 1;
  barrier.pending = barrier.pending - 1;
  if (barrier.pending != 0) return;
  barrier.pending = barrier.expected;
  barrier.phase = barrier.phase + 1;
  shadow.flags[completed(offset)].merge(shadow.flags[arriving(offset)]);
  shadow.flags.erase(arriving(offset));
}

// The lanes' barriers. Reads of each other do not race, and the operations on one are atomic, so
// that is what the shadow sees; init and inval are writes.
struct Barriers {
  Access access;
  Places places;
  LaneMask lanes;  // that point to a barrier

  Barriers(Warp& warp, const Op& op, LaneMask active, const BarrierForm& form, Intent intent,
           bool must_exist)
      : access(warp, op, active, kBarrierBytes, intent) {
    access.set_addresses(op.operands[0], form.address.base_bits, op.immediate);
    if (form.address.space == ptx::Space::kGeneric) access.remove_window();
    resolve_shared(access, places);
    lanes = places.valid;
    if (!must_exist) return;
    LaneMask missing = 0;
    for_lanes(lanes, [&](int lane) {
      const Barrier barrier = load_barrier(places.at(lane, kBarrierBytes));
      if (barrier.valid == 0 || barrier.pending == 0) missing |= 1u << lane;
    });
    if (missing == 0) return;
    lanes &= ~missing;
    report(FindingKind::kInvalidArgument, access.site(missing),
           access.address[std::countr_zero(missing)], "no mbarrier is here: none was initialised");
  }
};

// Op::operands: base, count.
void init(Warp& warp, const Op& op, LaneMask active) {
  Barriers barriers(warp, op, active, form_of<BarrierForm>(op), Intent::kWrite, false);
  const uint32_t* counts = warp.u32(op.operands[1]);
  LaneMask wrong = 0;
  for_lanes(barriers.lanes, [&](int lane) {
    if (counts[lane] == 0 || counts[lane] > kMostArrivals) {
      wrong |= 1u << lane;
      return;
    }
    store_barrier(barriers.places.at(lane, kBarrierBytes),
                  {.pending = counts[lane], .expected = counts[lane], .phase = 0, .valid = 1});
  });
  if (wrong != 0) {
    report(FindingKind::kInvalidArgument, barriers.access.site(wrong),
           barriers.access.address[std::countr_zero(wrong)],
           "an mbarrier takes 1 to 1048575 arrivals a phase");
  }
}

void invalidate(Warp& warp, const Op& op, LaneMask active) {
  Barriers barriers(warp, op, active, form_of<BarrierForm>(op), Intent::kWrite, true);
  for_lanes(barriers.lanes,
            [&](int lane) { store_barrier(barriers.places.at(lane, kBarrierBytes), {}); });
}

// Op::operands: base, state, count (only .noComplete).
void arrive(Warp& warp, const Op& op, LaneMask active) {
  const auto& form = form_of<BarrierForm>(op);
  Barriers barriers(warp, op, active, form, Intent::kRead, true);
  SharedMemory::Shadow& shadow = warp.cta().shared.shadow();
  uint64_t* states = warp.u64(op.operands[1]);
  LaneMask completing = 0;
  for_lanes(barriers.lanes, [&](int lane) {
    const uint64_t offset = barriers.access.address[lane];
    std::byte* place = barriers.places.at(lane, kBarrierBytes);
    Barrier barrier = load_barrier(place);
    states[lane] = token_of(barrier);
    const uint32_t count = form.no_complete ? warp.u32(op.operands[2])[lane] : 1;
    if (form.no_complete && count >= barrier.pending) {
      completing |= 1u << lane;
      return;
    }
    release_flag(warp, arriving(offset));
    for (uint32_t i = 0; i < count; ++i) arrive_once(shadow, offset, barrier, form.drops);
    store_barrier(place, barrier);
  });
  if (completing != 0) {
    report(FindingKind::kInvalidArgument, barriers.access.site(completing),
           barriers.access.address[std::countr_zero(completing)],
           "an arrival with .noComplete would complete the phase");
  }
}

// Asynchronous arrivals happen at some time before a wait can succeed: each look at the barrier
// lets each of them happen or not.
void let_copies_arrive(Cta& cta, uint64_t offset) {
  SharedMemory::Shadow& shadow = cta.shared.shadow();
  for (size_t i = 0; i < shadow.async_arrivals.size();) {
    AsyncArrival& arrival = shadow.async_arrivals[i];
    if (arrival.barrier != offset || cta.random() % 2 == 0) {
      ++i;
      continue;
    }
    finish_copies(*arrival.warp, arrival.lanes, arrival.num_issued, arrival.time);
    shadow.flags[arriving(offset)].merge(arrival.released);
    std::byte* place = cta.shared.data() + offset;
    Barrier barrier = load_barrier(place);
    for (int n = std::popcount(arrival.lanes); n > 0; --n) {
      arrive_once(shadow, offset, barrier, false);
    }
    store_barrier(place, barrier);
    shadow.async_arrivals.erase(shadow.async_arrivals.begin() + static_cast<ptrdiff_t>(i));
  }
}

// Op::operands: base, predicate, state or parity.
template <Wait wait>
void test_wait(Warp& warp, const Op& op, LaneMask active) {
  Barriers barriers(warp, op, active, form_of<BarrierForm>(op), Intent::kRead, true);
  LaneMask complete = 0;
  for_lanes(barriers.lanes, [&](int lane) {
    const uint64_t offset = barriers.access.address[lane];
    const std::byte* place = barriers.places.at(lane, kBarrierBytes);
    if (!warp.cta().shared.shadow().async_arrivals.empty()) let_copies_arrive(warp.cta(), offset);
    const Barrier barrier = load_barrier(place);
    const bool done =
        wait == Wait::kParity
            ? (barrier.phase & 1) != (warp.u32(op.operands[2])[lane] & 1)
            : barrier.phase != std::bit_cast<Barrier>(warp.u64(op.operands[2])[lane]).phase;
    if (!done) return;
    complete |= 1u << lane;
    acquire_flag(warp, completed(offset));
  });
  LaneMask& predicate = warp.predicate(op.operands[1]);
  predicate = (predicate & ~active) | complete;
  if (complete != active) warp.yield();
}

// Op::operands: count, state.
void pending_count(Warp& warp, const Op& op, LaneMask active) {
  uint32_t* counts = warp.u32(op.operands[0]);
  const uint64_t* states = warp.u64(op.operands[1]);
  for_lanes(active, [&](int lane) {
    counts[lane] = static_cast<uint32_t>(std::bit_cast<Barrier>(states[lane]).pending);
  });
}

// cp.async.mbarrier.arrive. Op::operands: base.
void arrive_after_copies(Warp& warp, const Op& op, LaneMask active) {
  const auto& form = form_of<BarrierForm>(op);
  Barriers barriers(warp, op, active, form, Intent::kRead, true);
  SharedMemory::Shadow& shadow = warp.cta().shared.shadow();
  const uint32_t time = warp.cta().clocks.now(warp.index());
  SyncClock released;
  warp.cta().clocks.release(warp.index(), released);
  for_lanes(barriers.lanes, [&](int lane) {
    const uint64_t offset = barriers.access.address[lane];
    std::byte* place = barriers.places.at(lane, kBarrierBytes);
    if (!form.noinc) {
      Barrier barrier = load_barrier(place);
      barrier.pending = barrier.pending + 1;
      store_barrier(place, barrier);
    }
    shadow.async_arrivals.push_back(
        {offset, &warp, 1u << lane, warp.copies().num_issued, time, released});
  });
}

BarrierForm take_address(Decoding& decoding, ptx::Space space) {
  if (space != ptx::Space::kShared && space != ptx::Space::kGeneric) {
    decoding.refuse("an mbarrier lies in shared memory");
  }
  BarrierForm form;
  form.address = use_address(decoding, space);
  return form;
}

void expect_b64(Decoding& decoding) {
  if (decoding.take_type() != ptx::Type::kB64) decoding.refuse("a type other than .b64");
}

void decode_arrive(Decoding& decoding, bool drops) {
  const bool no_complete = decoding.take("noComplete");
  take_ordering(decoding);
  const ptx::Space space = take_space(decoding);
  expect_b64(decoding);
  const int32_t state = decoding.context.define(decoding.next(), ptx::Type::kB64);
  BarrierForm form = take_address(decoding, space);
  form.drops = drops;
  form.no_complete = no_complete;
  decoding.append(state);
  if (no_complete) decoding.use(ptx::Type::kU32);
  if (decoding.has_next()) decoding.refuse("a count without .noComplete needs sm_90");
  keep_form(decoding, form);
  decoding.set_handler(&arrive);
}

void decode_test_wait(Decoding& decoding) {
  const bool parity = decoding.take("parity");
  take_ordering(decoding);
  const ptx::Space space = take_space(decoding);
  expect_b64(decoding);
  const int32_t predicate = decoding.context.define(decoding.next(), ptx::Type::kPred);
  const BarrierForm form = take_address(decoding, space);
  decoding.append(predicate);
  decoding.use(parity ? ptx::Type::kU32 : ptx::Type::kB64);
  keep_form(decoding, form);
  decoding.set_handler(parity ? &test_wait<Wait::kParity> : &test_wait<Wait::kState>);
}

}  // namespace

void decode_copy_arrival(Decoding& decoding) {
  decoding.require_one<bool>({{"arrive", true}});
  const bool noinc = decoding.take("noinc");
  const ptx::Space space = take_space(decoding);
  expect_b64(decoding);
  BarrierForm form = take_address(decoding, space);
  form.noinc = noinc;
  keep_form(decoding, form);
  decoding.set_handler(&arrive_after_copies);
}

void decode_mbarrier(Decoding& decoding) {
  if (decoding.take("arrive")) return decode_arrive(decoding, false);
  if (decoding.take("arrive_drop")) return decode_arrive(decoding, true);
  if (decoding.take("test_wait")) return decode_test_wait(decoding);
  if (decoding.take("pending_count")) {
    expect_b64(decoding);
    decoding.bind(&pending_count, ptx::Type::kU32, {ptx::Type::kB64});
    return;
  }
  const bool initialises = decoding.take("init");
  if (!initialises && !decoding.take("inval")) {
    decoding.refuse("this operation of mbarrier needs sm_90");
  }
  const ptx::Space space = take_space(decoding);
  expect_b64(decoding);
  keep_form(decoding, take_address(decoding, space));
  if (initialises) decoding.use(ptx::Type::kU32);
  decoding.set_handler(initialises ? &init : &invalidate);
}

}  // namespace emulator
