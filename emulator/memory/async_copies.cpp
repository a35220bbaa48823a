#include "memory/async_copies.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "memory/memory_decoding.h"
#include "memory/shared_shadow.h"

namespace emulator {
namespace {

constexpr int kCopySourceOperand = 1;
// A copy lands at once one time in four, else within so many of the warp's copy instructions.
constexpr uint64_t kOneInLandsAtOnce = 4;
constexpr uint64_t kMostTicks = 16;

struct CopyForm {
  AddressForm destination, source;
  int64_t destination_offset = 0, source_offset = 0;
  int bytes = 0;
  int32_t source_size = -1;    // a 32-bit register; -1: all bytes
  int32_t ignore_source = -1;  // a predicate; -1: none
  bool ignore_negated = false;
};

void land(Warp& warp, const WarpCopies::Copy& copy, LaneMask lanes) {
  std::byte* shared = warp.cta().shared.data();
  for_lanes(lanes, [&](int lane) {
    std::byte* to = shared + copy.offset[lane];
    if (copy.bytes == 16 && copy.source_bytes[lane] == 16) {
      std::memcpy(to, copy.source[lane], 16);
      return;
    }
    std::memcpy(to, copy.source[lane], copy.source_bytes[lane]);
    std::memset(to + copy.source_bytes[lane], 0, copy.bytes - copy.source_bytes[lane]);
  });
}

// What is due by now.
void land_due(Warp& warp) {
  WarpCopies& copies = warp.copies();
  for (WarpCopies::Copy& copy : copies.in_flight) {
    if (copy.landed || copy.due > copies.ticks) continue;
    land(warp, copy, copy.lanes);
    copy.landed = true;
  }
}

// Ends the copies of those lanes that `lanes_of` names of each copy.
template <typename LanesOf>
void complete(Warp& warp, uint32_t time, LanesOf lanes_of) {
  auto& in_flight = warp.copies().in_flight;
  auto kept = in_flight.begin();
  for (auto copy = in_flight.begin(); copy != in_flight.end(); ++copy) {
    const LaneMask lanes = lanes_of(*copy) & copy->lanes;
    if (lanes != 0) {
      if (!copy->landed) land(warp, *copy, lanes);
      complete_copy(warp, *copy->op, lanes, copy->offset, copy->bytes, time);
      copy->lanes &= ~lanes;
    }
    if (copy->lanes == 0) continue;
    if (kept != copy) *kept = *copy;
    ++kept;
  }
  in_flight.erase(kept, in_flight.end());
}

// How many bytes each lane reads.
void set_source_bytes(Warp& warp, const CopyForm& form, LaneMask active, uint8_t* source_bytes) {
  std::memset(source_bytes, form.bytes, kWarpLanes);
  if (form.source_size >= 0) {
    const uint32_t* sizes = warp.u32(form.source_size);
    for_lanes(active, [&](int lane) {
      source_bytes[lane] = static_cast<uint8_t>(std::min<uint32_t>(sizes[lane], form.bytes));
    });
  }
  if (form.ignore_source >= 0) {
    const LaneMask predicate = warp.predicate(form.ignore_source);
    const LaneMask ignored = form.ignore_negated ? ~predicate : predicate;
    for_lanes(active & ignored, [&](int lane) { source_bytes[lane] = 0; });
  }
}

// Checks the source and finds it in the host's memory, for the lanes that read equally many bytes.
void find_source(const Access& whole, LaneMask lanes, int bytes, WarpCopies::Copy& copy) {
  if (lanes == 0) return;
  Access access = whole.restricted_to(lanes);
  access.bytes = bytes;
  Places places;
  resolve_global(access, places);
  for_lanes(lanes, [&](int lane) { copy.source[lane] = places.at(lane, bytes); });
}

void find_sources(Warp& warp, const Op& op, const CopyForm& form, WarpCopies::Copy& copy) {
  Access access(warp, op, copy.lanes, form.bytes, Intent::kRead);
  access.set_addresses(op.operands[kCopySourceOperand], form.source.base_bits, form.source_offset);
  LaneMask rest = copy.lanes;
  while (rest != 0) {
    const uint8_t bytes = copy.source_bytes[std::countr_zero(rest)];
    LaneMask lanes = 0;
    for_lanes(rest, [&](int lane) { lanes |= LaneMask{copy.source_bytes[lane] == bytes} << lane; });
    rest &= ~lanes;
    if (bytes == 0) {
      for_lanes(lanes, [&](int lane) { copy.source[lane] = stand_in(Intent::kRead); });
    } else {
      find_source(access, lanes, bytes, copy);
    }
  }
}

// Op::operands: the destination's base, the source's base.
void issue_copy(Warp& warp, const Op& op, LaneMask active) {
  const auto& form = form_of<CopyForm>(op);
  WarpCopies& copies = warp.copies();
  ++copies.ticks;
  land_due(warp);

  Access access(warp, op, active, form.bytes, Intent::kWrite);
  access.set_addresses(op.operands[0], form.destination.base_bits, form.destination_offset);
  const LaneMask lanes = resolve_copy(access);
  WarpCopies::Copy& copy = copies.in_flight.emplace_back();
  copy.op = &op;
  copy.lanes = active;
  copy.bytes = form.bytes;
  copy.sequence = copies.num_issued++;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    copy.offset[lane] = static_cast<uint32_t>(access.address[lane]);
  }
  std::memcpy(copy.group, copies.committed, sizeof(copy.group));
  set_source_bytes(warp, form, active, copy.source_bytes);
  find_sources(warp, op, form, copy);
  copy.lanes = lanes;
  const uint64_t draw = warp.cta().random();
  const bool at_once = draw % kOneInLandsAtOnce == 0;
  copy.due = copies.ticks + (at_once ? 0 : 1 + draw / kOneInLandsAtOnce % kMostTicks);
  if (at_once) land_due(warp);
}

void commit_group(Warp& warp, const Op&, LaneMask active) {
  WarpCopies& copies = warp.copies();
  ++copies.ticks;
  land_due(warp);
  for (int lane = 0; lane < kWarpLanes; ++lane) copies.committed[lane] += active >> lane & 1;
}

// All but the last `op.immediate` groups of each thread.
void wait_group(Warp& warp, const Op& op, LaneMask active) {
  const WarpCopies& copies = warp.copies();
  const uint32_t allowed = static_cast<uint32_t>(op.immediate);
  complete(warp, warp.cta().clocks.now(warp.index()), [&](const WarpCopies::Copy& copy) {
    LaneMask lanes = 0;
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      lanes |= LaneMask{copy.group[lane] + allowed < copies.committed[lane]} << lane;
    }
    return lanes & active;
  });
}

void wait_all(Warp& warp, const Op&, LaneMask active) {
  complete(warp, warp.cta().clocks.now(warp.index()),
           [&](const WarpCopies::Copy&) { return active; });
}

void decode_issue(Decoding& decoding) {
  CopyForm form;
  const bool bypasses_l1 = !decoding.take("ca");
  if (bypasses_l1) decoding.require_one<bool>({{"cg", true}});
  decoding.require_one<bool>({{"shared", true}, {"shared::cta", true}});
  decoding.require_one<bool>({{"global", true}});
  const bool has_policy = take_cache_hints(decoding);
  form.destination = use_address(decoding, ptx::Space::kShared);
  form.destination_offset = decoding.op.immediate;
  form.source = use_address(decoding, ptx::Space::kGlobal);
  form.source_offset = decoding.op.immediate;
  form.bytes = static_cast<int>(decoding.constant());
  const bool size_exists =
      form.bytes == 16 || (!bypasses_l1 && (form.bytes == 4 || form.bytes == 8));
  if (!size_exists) decoding.refuse("no copy of " + std::to_string(form.bytes) + " bytes");

  const size_t num_operands = decoding.instruction.operands.size() - (has_policy ? 1 : 0);
  if (num_operands == 4) {
    const ptx::Operand& operand = decoding.next();
    if (decoding.context.register_type(operand) == ptx::Type::kPred) {
      form.ignore_source = decoding.context.use(operand, ptx::Type::kPred);
      form.ignore_negated = operand.negated;
    } else {
      form.source_size = decoding.context.use(operand, ptx::Type::kU32);
    }
  }
  if (has_policy) use_cache_policy(decoding);
  keep_form(decoding, form);
  decoding.set_handler(&issue_copy);
}

}  // namespace

void finish_copies(Warp& warp, LaneMask lanes, uint64_t num_issued, uint32_t time) {
  complete(warp, time,
           [&](const WarpCopies::Copy& copy) { return copy.sequence < num_issued ? lanes : 0; });
}

void decode_copy(Decoding& decoding) {
  if (!decoding.take("async")) decoding.refuse("a form other than cp.async");
  if (decoding.take("commit_group")) {
    decoding.set_handler(&commit_group);
  } else if (decoding.take("wait_group")) {
    decoding.op.immediate = decoding.constant();
    decoding.set_handler(&wait_group);
  } else if (decoding.take("wait_all")) {
    decoding.set_handler(&wait_all);
  } else if (decoding.take("mbarrier")) {
    decode_copy_arrival(decoding);
  } else {
    decode_issue(decoding);
  }
}

}  // namespace emulator
