// Instructions in which lanes exchange values: shfl, vote, match, redux, activemask.
//
// The scheduler lets a .sync instruction run once the lanes that it needs are there. Lanes with
// different member masks may then arrive together, so each lane's mask decides whom it works with.
#include <algorithm>
#include <array>

#include "execute/decoder.h"
#include "execute/decoding.h"
#include "execute/lanes.h"

namespace emulator {
namespace {

using ptx::Type;

enum class Shuffle : uint8_t { kUp, kDown, kButterfly, kIndex };

// Where a lane reads from; `in_range` is the instruction's predicate result. `b` is the lane or
// offset, `c` the clamp (bits 4..0) and the segment mask (bits 12..8).
template <Shuffle mode>
int source_lane(int lane, uint32_t b, uint32_t c, bool& in_range) {
  constexpr int kLaneBits = 31;
  const int offset = static_cast<int>(b & kLaneBits), clamp = static_cast<int>(c & kLaneBits);
  const int segment = static_cast<int>(c >> 8 & kLaneBits);
  const int first = lane & segment, last = first | (clamp & ~segment);
  int source = lane;
  switch (mode) {
    case Shuffle::kUp:
      source = lane - offset;
      break;
    case Shuffle::kDown:
      source = lane + offset;
      break;
    case Shuffle::kButterfly:
      source = lane ^ offset;
      break;
    case Shuffle::kIndex:
      source = first | (offset & ~segment);
      break;
  }
  in_range = mode == Shuffle::kUp ? source >= last : source <= last;
  return in_range ? source : lane;
}

// Operands: d, p, a, b, c, member mask. A lane that reads from one that takes no part gets an
// undefined value: here its own.
template <Shuffle mode>
void run_shuffle(Warp& warp, const Op& op, LaneMask active) {
  std::array<uint32_t, kWarpLanes> values;  // d may be a
  std::copy_n(warp.u32(op.operands[2]), kWarpLanes, values.begin());
  const uint32_t* b = warp.u32(op.operands[3]);
  const uint32_t* c = warp.u32(op.operands[4]);
  uint32_t* d = warp.u32(op.operands[0]);
  LaneMask predicate = 0;
  for_lanes(active, [&](int lane) {
    bool in_range;
    const int source = source_lane<mode>(lane, b[lane], c[lane], in_range);
    d[lane] = values[active >> source & 1 ? source : lane];
    predicate |= LaneMask{in_range} << lane;
  });
  write_predicate(warp, op.operands[1], active, predicate);
}

void decode_shfl(Decoding& decoding) {
  if (!decoding.take("sync")) decoding.refuse("shfl without .sync is not for sm_70 and later");
  const Handler handler = decoding.require_one<Handler>({{"up", run_shuffle<Shuffle::kUp>},
                                                         {"down", run_shuffle<Shuffle::kDown>},
                                                         {"bfly", run_shuffle<Shuffle::kButterfly>},
                                                         {"idx", run_shuffle<Shuffle::kIndex>}});
  if (decoding.take_type() != Type::kB32) decoding.refuse("no such type");
  decoding.set_handler(handler);
  decoding.define_pair(Type::kB32);
  decoding.use(Type::kB32);
  decoding.use(Type::kB32);
  decoding.use(Type::kB32);
  decoding.use_sync_mask();
}

enum class Vote : uint8_t { kAll, kAny, kUniform };

// Op::flags: whether the source predicate is negated.
LaneMask votes(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask predicate = warp.predicate(op.operands[1]);
  return (op.flags != 0 ? ~predicate : predicate) & active;
}

// Operands: d, a, member mask.
template <Vote mode>
void run_vote(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask yes = votes(warp, op, active);
  const uint32_t* masks = warp.u32(op.operands[2]);
  LaneMask result = 0;
  for_lanes(active, [&](int lane) {
    const LaneMask members = masks[lane] & active, in_favour = yes & members;
    const bool all = in_favour == members, any = in_favour != 0;
    const bool outcome = mode == Vote::kAll ? all : mode == Vote::kAny ? any : all || !any;
    result |= LaneMask{outcome} << lane;
  });
  write_predicate(warp, op.operands[0], active, result);
}

void run_ballot(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask yes = votes(warp, op, active);
  const uint32_t* masks = warp.u32(op.operands[2]);
  uint32_t* d = warp.u32(op.operands[0]);
  for_lanes(active, [&](int lane) { d[lane] = yes & masks[lane]; });
}

void decode_vote(Decoding& decoding) {
  if (!decoding.take("sync")) decoding.refuse("vote without .sync is not for sm_70 and later");
  const bool ballot = decoding.take("ballot");
  decoding.set_handler(ballot ? run_ballot
                              : decoding.require_one<Handler>({{"all", run_vote<Vote::kAll>},
                                                               {"any", run_vote<Vote::kAny>},
                                                               {"uni", run_vote<Vote::kUniform>}}));
  const Type type = ballot ? Type::kB32 : Type::kPred;
  if (decoding.take_type() != type) decoding.refuse("no such type");
  decoding.define(type);
  decoding.op.flags = decoding.use_predicate();
  decoding.use_sync_mask();
}

// The members of `lane`'s mask that hold the same value as it does.
template <typename T>
LaneMask lanes_like(const T* values, int lane, LaneMask members) {
  LaneMask same = 0;
  for_lanes(members, [&](int other) { same |= LaneMask{values[other] == values[lane]} << other; });
  return same;
}

// Operands: d, a, member mask.
template <typename T>
void run_match_any(Warp& warp, const Op& op, LaneMask active) {
  const T* values = words<T>(warp, op.operands[1]);
  const uint32_t* masks = warp.u32(op.operands[2]);
  std::array<uint32_t, kWarpLanes> result;  // d may be a
  for_lanes(active,
            [&](int lane) { result[lane] = lanes_like(values, lane, masks[lane] & active); });
  uint32_t* d = warp.u32(op.operands[0]);
  for_lanes(active, [&](int lane) { d[lane] = result[lane]; });
}

// Operands: d, p, a, member mask.
template <typename T>
void run_match_all(Warp& warp, const Op& op, LaneMask active) {
  const T* values = words<T>(warp, op.operands[2]);
  const uint32_t* masks = warp.u32(op.operands[3]);
  std::array<uint32_t, kWarpLanes> result;
  LaneMask predicate = 0;
  for_lanes(active, [&](int lane) {
    const LaneMask members = masks[lane] & active;
    const bool all = lanes_like(values, lane, members) == members;
    result[lane] = all ? members : 0;
    predicate |= LaneMask{all} << lane;
  });
  uint32_t* d = warp.u32(op.operands[0]);
  for_lanes(active, [&](int lane) { d[lane] = result[lane]; });
  write_predicate(warp, op.operands[1], active, predicate);
}

void decode_match(Decoding& decoding) {
  const bool all = decoding.require_one<bool>({{"all", true}, {"any", false}});
  if (!decoding.take("sync")) decoding.refuse("lacks .sync");
  const Type type = decoding.take_type();
  if (type != Type::kB32 && type != Type::kB64) decoding.refuse("no such type");
  const bool wide = type == Type::kB64;
  if (all) {
    decoding.set_handler(wide ? run_match_all<uint64_t> : run_match_all<uint32_t>);
    decoding.define_pair(Type::kB32);
  } else {
    decoding.set_handler(wide ? run_match_any<uint64_t> : run_match_any<uint32_t>);
    decoding.define(Type::kB32);
  }
  decoding.use(type);
  decoding.use_sync_mask();
}

// Operands: d, a, member mask. Lanes with one mask form a group.
template <typename T, auto f>
void run_reduce(Warp& warp, const Op& op, LaneMask active) {
  const T* values = words<T>(warp, op.operands[1]);
  const uint32_t* masks = warp.u32(op.operands[2]);
  T* d = words<T>(warp, op.operands[0]);
  for (LaneMask rest = active; rest != 0;) {
    const int first = __builtin_ctz(rest);
    LaneMask group = 0;
    for_lanes(rest, [&](int lane) { group |= LaneMask{masks[lane] == masks[first]} << lane; });
    T total = values[first];
    for_lanes(group & ~(LaneMask{1} << first),
              [&](int lane) { total = static_cast<T>(f(total, values[lane])); });
    for_lanes(group, [&](int lane) { d[lane] = total; });
    rest &= ~group;
  }
}

void decode_redux(Decoding& decoding) {
  if (!decoding.take("sync")) decoding.refuse("lacks .sync");
  struct Reduction {
    Type type;  // kB32 for logic
    Handler on_unsigned, on_signed;
  };
  using U = uint32_t;
  using S = int32_t;
  constexpr auto sum = [](U a, U b) { return a + b; };
  constexpr auto least = [](auto a, auto b) { return std::min(a, b); };
  constexpr auto greatest = [](auto a, auto b) { return std::max(a, b); };
  constexpr Handler add = run_reduce<U, sum>;
  constexpr Handler conjunction = run_reduce<U, [](U a, U b) { return a & b; }>;
  constexpr Handler disjunction = run_reduce<U, [](U a, U b) { return a | b; }>;
  constexpr Handler parity = run_reduce<U, [](U a, U b) { return a ^ b; }>;
  const auto reduction = decoding.require_one<Reduction>(
      {{"add", {Type::kU32, add, add}},
       {"min", {Type::kU32, run_reduce<U, least>, run_reduce<S, least>}},
       {"max", {Type::kU32, run_reduce<U, greatest>, run_reduce<S, greatest>}},
       {"and", {Type::kB32, conjunction, nullptr}},
       {"or", {Type::kB32, disjunction, nullptr}},
       {"xor", {Type::kB32, parity, nullptr}}});
  const Type type = decoding.take_type();
  Handler handler = nullptr;
  if (type == reduction.type) handler = reduction.on_unsigned;
  if (type == Type::kS32) handler = reduction.on_signed;
  decoding.set_handler(handler);
  decoding.define(type);
  decoding.use(type);
  decoding.use_sync_mask();
}

void run_activemask(Warp& warp, const Op& op, LaneMask active) {
  uint32_t* d = warp.u32(op.operands[0]);
  for_lanes(active, [&](int lane) { d[lane] = active; });
}

void decode_activemask(Decoding& decoding) {
  const Type type = decoding.take_type();
  decoding.bind(type == Type::kB32 ? run_activemask : nullptr, type, {});
}

constexpr DecoderEntry kEntries[] = {
    {"shfl", decoder<decode_shfl>},
    {"vote", decoder<decode_vote>},
    {"match", decoder<decode_match>},
    {"redux", decoder<decode_redux>},
    {"activemask", decoder<decode_activemask>},
};

}  // namespace

std::span<const DecoderEntry> warp_decoders() {
  return kEntries;
}

}  // namespace emulator
