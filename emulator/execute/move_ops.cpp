// mov in all its forms, and conversions between generic addresses and those of a state space.
#include <array>

#include "execute/decoding.h"
#include "execute/lanes.h"
#include "execute/register_ops.h"
#include "memory/global_memory.h"

namespace emulator {
namespace {

using ptx::Type;

void run_mov_predicate(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask negation = op.flags != 0 ? kAllLanes : 0;
  write_predicate(warp, op.operands[0], active, warp.predicate(op.operands[1]) ^ negation);
}

template <typename T>
T copy(T value) {
  return value;
}

// Packs elements, the first one lowest, or takes them apart. Whole: a register; Part: an element.
template <typename Whole, typename Part>
constexpr int kNumParts = sizeof(Whole) / sizeof(Part);

template <typename Part, size_t num_parts>
std::array<Word<Part>*, num_parts> parts(Warp& warp, const int32_t* operands) {
  std::array<Word<Part>*, num_parts> result;
  for (size_t i = 0; i < num_parts; ++i) result[i] = words<Part>(warp, operands[i]);
  return result;
}

template <typename Whole, typename Part>
void run_pack(Warp& warp, const Op& op, LaneMask active) {
  constexpr int kParts = kNumParts<Whole, Part>;
  const auto sources = parts<Part, kParts>(warp, op.operands + 1);
  Word<Whole>* d = words<Whole>(warp, op.operands[0]);
  for_independent_lanes(active, [&](int lane) {
    Word<Whole> value = 0;
    for (int i = 0; i < kParts; ++i) {
      value |= static_cast<Word<Whole>>(static_cast<Part>(sources[i][lane]))
               << (8 * sizeof(Part) * i);
    }
    d[lane] = value;
  });
}

// One part after the other: each loop over lanes vectorises. The whole is no part, being wider.
template <typename Whole, typename Part>
void run_unpack(Warp& warp, const Op& op, LaneMask active) {
  constexpr int kParts = kNumParts<Whole, Part>;
  const Word<Whole>* a = words<Whole>(warp, op.operands[kParts]);
  const auto destinations = parts<Part, kParts>(warp, op.operands);
  for (int i = 0; i < kParts; ++i) {
    Word<Part>* d = destinations[i];
    for_independent_lanes(
        active, [&](int lane) { d[lane] = static_cast<Part>(a[lane] >> (8 * sizeof(Part) * i)); });
  }
}

struct VectorMove {
  int bits;
  size_t num_elements;
  Type element;
  Handler pack, unpack;
};

constexpr VectorMove kVectorMoves[] = {
    {16, 2, Type::kB8, run_pack<uint16_t, uint8_t>, run_unpack<uint16_t, uint8_t>},
    {32, 4, Type::kB8, run_pack<uint32_t, uint8_t>, run_unpack<uint32_t, uint8_t>},
    {32, 2, Type::kB16, run_pack<uint32_t, uint16_t>, run_unpack<uint32_t, uint16_t>},
    {64, 4, Type::kB16, run_pack<uint64_t, uint16_t>, run_unpack<uint64_t, uint16_t>},
    {64, 2, Type::kB32, run_pack<uint64_t, uint32_t>, run_unpack<uint64_t, uint32_t>},
    {128, 4, Type::kB32, run_pack<Bits128, uint32_t>, run_unpack<Bits128, uint32_t>},
    {128, 2, Type::kB64, run_pack<Bits128, uint64_t>, run_unpack<Bits128, uint64_t>},
};

void decode_vector_mov(Decoding& decoding, Type type) {
  const ptx::Operand& d = decoding.next();
  const ptx::Operand& a = decoding.next();
  const bool packs = a.kind == ptx::OperandKind::kVector;
  const auto& elements = packs ? a.elements : d.elements;
  for (const VectorMove& move : kVectorMoves) {
    if (move.bits != ptx::bits_of(type) || move.num_elements != elements.size()) continue;
    decoding.set_handler(packs ? move.pack : move.unpack);
    if (packs) decoding.append(decoding.context.define(d, type));
    for (const ptx::Operand& element : elements) {
      decoding.append(packs ? decoding.context.use(element, move.element)
                            : decoding.context.define(element, move.element));
    }
    if (!packs) decoding.append(decoding.context.use(a, type));
  }
}

// Where a space lies among generic addresses. Global and constant addresses are generic already.
struct Window {
  uint64_t base;
  bool is_identity;
};

Window take_window(Decoding& decoding) {
  constexpr Window kIdentity{0, true};
  return decoding.require_one<Window>({{"global", kIdentity},
                                       {"const", kIdentity},
                                       {"shared", {kSharedWindow, false}},
                                       {"shared::cta", {kSharedWindow, false}},
                                       {"local", {kLocalWindow, false}},
                                       {"param", {kParamWindow, false}},
                                       {"param::entry", {kParamWindow, false}}});
}

uint64_t to_generic(const Op& op, uint64_t address) {
  return address | static_cast<uint64_t>(op.immediate);
}

uint64_t from_generic(uint64_t address) {
  return address & ~kWindowMask;
}

bool lies_in_window(const Op& op, uint64_t address) {
  return (address & kWindowMask) == static_cast<uint64_t>(op.immediate);
}

// Kernel parameters lie within the global window.
bool lies_in_global(uint64_t address) {
  const uint64_t window = address & kWindowMask;
  return window != kSharedWindow && window != kLocalWindow;
}

}  // namespace

void decode_mov(Decoding& decoding) {
  const Type type = decoding.take_type();
  const auto& operands = decoding.instruction.operands;
  if (operands.size() != 2) decoding.refuse("mov has two operands");
  if (type == Type::kPred) {
    decoding.set_handler(run_mov_predicate);
    decoding.define(type);
    decoding.op.flags = decoding.use_predicate() ? 1 : 0;
    return;
  }
  if (operands[0].kind == ptx::OperandKind::kVector ||
      operands[1].kind == ptx::OperandKind::kVector) {
    return decode_vector_mov(decoding, type);
  }
  const Handler handler = type == Type::kB128
                              ? lanes<copy<Bits128>>
                              : for_width(type, []<typename T>() { return lanes<copy<T>>; });
  decoding.bind(handler, type, {type});
}

void decode_cvta(Decoding& decoding) {
  const bool from = decoding.take("to");
  const Window window = take_window(decoding);
  const Type type = decoding.take_type();
  if (type != Type::kU64) decoding.refuse("addresses have 64 bits");
  decoding.op.immediate = static_cast<int64_t>(window.base);
  Handler handler = lanes<copy<uint64_t>>;
  if (!window.is_identity) handler = from ? lanes<from_generic> : lanes<to_generic>;
  decoding.bind(handler, type, {type});
}

void decode_isspacep(Decoding& decoding) {
  if (decoding.instruction.has("const")) {
    decoding.refuse("constant addresses are not told from global ones");
  }
  const Window window = take_window(decoding);
  decoding.op.immediate = static_cast<int64_t>(window.base);
  decoding.bind(window.is_identity ? lanes<lies_in_global> : lanes<lies_in_window>, Type::kPred,
                {Type::kU64});
}

}  // namespace emulator
