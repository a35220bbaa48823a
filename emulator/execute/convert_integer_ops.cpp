// cvt to and from integers, and cvt.pack.
//
// A register may be wider than the type that cvt names: sources are truncated to the type, results
// extended from it (PTX ISA, "Operand Size Exceeding Instruction-Type Size").
#include <algorithm>
#include <memory>
#include <type_traits>

#include "execute/convert_ops.h"
#include "execute/lanes.h"
#include "numeric/convert.h"
#include "numeric/float16.h"

namespace emulator {
namespace {

using numeric::BF16;
using numeric::F16;
using numeric::Rounding;
using ptx::Type;

int slot_bits(Type type) {
  return ptx::bits_of(type) <= 32 ? 32 : ptx::bits_of(type);
}

// The width of a register operand; that of the type where the operand is none.
int register_bits(const Decoding& decoding, const ptx::Operand& operand, Type type) {
  const Type declared = decoding.context.register_type(operand);
  return declared == Type::kNone ? ptx::bits_of(type) : ptx::bits_of(declared);
}

// A type as wide as a register, so that constants and sinks get a slot of that width.
Type bits_type(int bits) {
  return bits <= 32 ? Type::kB32 : Type::kB64;
}

// Integer to integer: the source's low from_bits, extended, then its low to_bits, extended, then
// what the register holds of that.
struct IntegerCast {
  int from_bits, to_bits, register_bits;
};

template <typename T>
T low_bits(T value, int bits, bool extend_sign) {
  const int unused = 8 * static_cast<int>(sizeof(T)) - bits;
  const auto top = static_cast<std::make_unsigned_t<T>>(value << unused);
  return extend_sign ? static_cast<T>(static_cast<std::make_signed_t<T>>(top) >> unused)
                     : static_cast<T>(top >> unused);
}

template <typename D, typename S, bool from_signed, bool to_signed>
D cast_integer(const Op& op, S source) {
  using Work = std::conditional_t<sizeof(D) + sizeof(S) == 8, uint32_t, uint64_t>;
  const auto& cast = *static_cast<const IntegerCast*>(op.extra);
  Work value = low_bits<Work>(source, cast.from_bits, from_signed);
  value = low_bits(value, cast.to_bits, to_signed);
  return static_cast<D>(low_bits(value, cast.register_bits, false));
}

// Holds every value of every type.
__extension__ using Wide = __int128;

Wide clamp(Wide value, int bits, bool is_signed) {
  const Wide one = 1;
  const Wide highest = (one << (is_signed ? bits - 1 : bits)) - 1;
  const Wide lowest = is_signed ? -(one << (bits - 1)) : 0;
  return std::clamp(value, lowest, highest);
}

template <typename D, typename S, bool from_signed, bool to_signed>
D saturate_integer(const Op& op, S source) {
  const auto& cast = *static_cast<const IntegerCast*>(op.extra);
  const uint64_t bits = low_bits<uint64_t>(source, cast.from_bits, from_signed);
  const Wide value = from_signed ? Wide{static_cast<int64_t>(bits)} : Wide{bits};
  const auto clamped = static_cast<uint64_t>(clamp(value, cast.to_bits, to_signed));
  return static_cast<D>(low_bits(clamped, cast.register_bits, false));
}

template <typename D, typename S, bool from_signed, bool to_signed>
Handler integer_handler(bool saturate) {
  return saturate ? lanes<saturate_integer<D, S, from_signed, to_signed>>
                  : lanes<cast_integer<D, S, from_signed, to_signed>>;
}

template <typename D, typename S>
Handler integer_handler(bool from_signed, bool to_signed, bool saturate) {
  if (from_signed) {
    return to_signed ? integer_handler<D, S, true, true>(saturate)
                     : integer_handler<D, S, true, false>(saturate);
  }
  return to_signed ? integer_handler<D, S, false, true>(saturate)
                   : integer_handler<D, S, false, false>(saturate);
}

void decode_integer_to_integer(Decoding& decoding, const ConvertModifiers& modifiers) {
  const auto [to, from] = modifiers.types;
  const ptx::Operand& d = decoding.next();
  const ptx::Operand& a = decoding.next();
  const auto cast = std::make_shared<const IntegerCast>(IntegerCast{
      .from_bits = ptx::bits_of(from),
      .to_bits = ptx::bits_of(to),
      .register_bits = register_bits(decoding, d, to),
  });
  const int source_bits = register_bits(decoding, a, from);
  if (cast->register_bits < cast->to_bits || source_bits < cast->from_bits) {
    decoding.refuse("a register narrower than the type");
  }
  const auto choose = [&]<typename D>() {
    return source_bits > 32
               ? integer_handler<D, uint64_t>(is_signed(from), is_signed(to), modifiers.saturate)
               : integer_handler<D, uint32_t>(is_signed(from), is_signed(to), modifiers.saturate);
  };
  decoding.set_handler(cast->register_bits > 32 ? choose.operator()<uint64_t>()
                                                : choose.operator()<uint32_t>());
  decoding.op.extra = decoding.context.keep(cast);
  decoding.append(decoding.context.define(d, bits_type(cast->register_bits)));
  // An immediate is read as the type itself.
  const bool is_register = a.kind == ptx::OperandKind::kRegister;
  decoding.append(decoding.context.use(a, is_register ? bits_type(source_bits) : from));
}

template <typename Format, Rounding R>
struct ToHalf {
  template <typename Int>
  static uint16_t of(Int value) {
    return numeric::integer_to_float16<Format, R>(value);
  }
};

template <typename F, Rounding R>
struct ToFloat {
  template <typename Int>
  static F of(Int value) {
    return numeric::integer_to_float<R, F>(value);
  }
};

enum Flag : uint32_t { kSaturate = 1, kFlush = 2 };

template <typename To>
auto saturate_if(const Op& op, To value) {
  if constexpr (std::is_floating_point_v<To>) {
    return op.flags & kSaturate ? numeric::saturate(value) : value;
  } else {
    return value;
  }
}

// Sources of up to 32 bits are shifted up in their slot and back: Op::immediate is by how much.
template <typename To, typename Int>
auto from_integer(const Op& op, Int source) {
  if constexpr (sizeof(Int) == 4) {
    const auto shifted = static_cast<Int>(static_cast<uint32_t>(source) << op.immediate);
    return saturate_if(op, To::template of<Int>(shifted >> op.immediate));
  } else {
    return saturate_if(op, To::template of<Int>(source));
  }
}

template <typename To>
Handler handler_from(Type from) {
  const bool wide = ptx::bits_of(from) == 64;
  if (is_signed(from)) {
    return wide ? lanes<from_integer<To, int64_t>> : lanes<from_integer<To, int32_t>>;
  }
  return wide ? lanes<from_integer<To, uint64_t>> : lanes<from_integer<To, uint32_t>>;
}

template <Rounding R>
Handler handler_to(Type to, Type from) {
  switch (to) {
    case Type::kF16:
      return handler_from<ToHalf<F16, R>>(from);
    case Type::kBF16:
      return handler_from<ToHalf<BF16, R>>(from);
    case Type::kF32:
      return handler_from<ToFloat<float, R>>(from);
    case Type::kF64:
      return handler_from<ToFloat<double, R>>(from);
    default:
      return nullptr;
  }
}

void decode_integer_to_float(Decoding& decoding, const ConvertModifiers& modifiers) {
  const auto [to, from] = modifiers.types;
  if (!modifiers.rounding || modifiers.integral) decoding.refuse("rounding modifier");
  if (modifiers.ftz && to != Type::kF32) decoding.refuse(".ftz without f32");
  if (modifiers.saturate && to != Type::kF32 && to != Type::kF64) {
    decoding.refuse("no such combination of modifiers");
  }
  Handler handler = nullptr;
  switch (*modifiers.rounding) {
    case Rounding::kNearest:
      handler = handler_to<Rounding::kNearest>(to, from);
      break;
    case Rounding::kZero:
      handler = handler_to<Rounding::kZero>(to, from);
      break;
    case Rounding::kDown:
      handler = handler_to<Rounding::kDown>(to, from);
      break;
    case Rounding::kUp:
      handler = handler_to<Rounding::kUp>(to, from);
      break;
    default:
      break;
  }
  decoding.op.flags = modifiers.saturate ? kSaturate : 0u;
  decoding.op.immediate = slot_bits(from) - ptx::bits_of(from);
  decoding.bind(handler, to, {from});
}

// Source formats of a conversion to an integer.
struct FromFloat {
  using Stored = float;
  static float read(float value) { return value; }
};
struct FromDouble {
  using Stored = double;
  static double read(double value) { return value; }
};
template <typename Format>
struct FromHalf {
  using Stored = uint16_t;
  static float read(uint16_t bits) { return numeric::to_float<Format>(bits); }
};

// Op::flags: the rounding in the upper bits. Op::immediate: the mask of the destination register.
constexpr int kRoundingShift = 8;

template <typename Int, typename From>
auto to_integer(const Op& op, typename From::Stored stored) {
  auto value = From::read(stored);
  if (op.flags & kFlush) value = numeric::flush(value);
  const auto rounding = static_cast<Rounding>(op.flags >> kRoundingShift);
  const Int result = numeric::float_to_integer<Int>(value, rounding);
  if constexpr (sizeof(Int) == 8) {
    return result;
  } else {
    return static_cast<uint32_t>(result) & static_cast<uint32_t>(op.immediate);
  }
}

template <typename From>
Handler rounding_handler(Type to) {
  switch (to) {
    case Type::kU8:
      return lanes<to_integer<uint8_t, From>>;
    case Type::kS8:
      return lanes<to_integer<int8_t, From>>;
    case Type::kU16:
      return lanes<to_integer<uint16_t, From>>;
    case Type::kS16:
      return lanes<to_integer<int16_t, From>>;
    case Type::kU32:
      return lanes<to_integer<uint32_t, From>>;
    case Type::kS32:
      return lanes<to_integer<int32_t, From>>;
    case Type::kU64:
      return lanes<to_integer<uint64_t, From>>;
    case Type::kS64:
      return lanes<to_integer<int64_t, From>>;
    default:
      return nullptr;
  }
}

// .sat changes nothing here: results are clamped in any case.
void decode_float_to_integer(Decoding& decoding, const ConvertModifiers& modifiers) {
  const auto [to, from] = modifiers.types;
  if (!modifiers.integral || modifiers.rounding) decoding.refuse("rounding modifier");
  if (modifiers.ftz && from != Type::kF32) decoding.refuse(".ftz without f32");
  Handler handler = nullptr;
  if (from == Type::kF16) handler = rounding_handler<FromHalf<F16>>(to);
  if (from == Type::kBF16) handler = rounding_handler<FromHalf<BF16>>(to);
  if (from == Type::kF32) handler = rounding_handler<FromFloat>(to);
  if (from == Type::kF64) handler = rounding_handler<FromDouble>(to);
  const int bits = register_bits(decoding, decoding.instruction.operands.front(), to);
  if (bits < ptx::bits_of(to) || (bits <= 32) != (ptx::bits_of(to) <= 32)) {
    decoding.refuse("a register of another width than the type");
  }
  decoding.op.immediate = bits >= 32 ? 0xffffffff : (int64_t{1} << bits) - 1;
  decoding.op.flags = (static_cast<uint32_t>(*modifiers.integral) << kRoundingShift) |
                      (modifiers.ftz ? kFlush : 0u);
  decoding.bind(handler, to, {from});
}

// Op::immediate: bits of one element; Op::flags: whether it is signed.
uint32_t pack_integers(const Op& op, int32_t a, int32_t b, uint32_t rest) {
  const int bits = static_cast<int>(op.immediate);
  const auto element = [&](int32_t value) {
    const auto clamped = static_cast<uint64_t>(clamp(value, bits, op.flags != 0));
    return low_bits(clamped, bits, false);
  };
  const uint64_t above = 2 * bits < 32 ? uint64_t{rest} << (2 * bits) : 0;
  return static_cast<uint32_t>(above | element(a) << bits | element(b));
}

uint32_t pack_two_integers(const Op& op, int32_t a, int32_t b) {
  return pack_integers(op, a, b, 0);
}

}  // namespace

void decode_integer_cvt(Decoding& decoding, const ConvertModifiers& modifiers) {
  if (modifiers.relu || modifiers.satfinite) decoding.refuse("no such combination of modifiers");
  if (!is_integer(modifiers.types.to)) return decode_integer_to_float(decoding, modifiers);
  if (!is_integer(modifiers.types.from)) return decode_float_to_integer(decoding, modifiers);
  if (modifiers.rounding || modifiers.integral || modifiers.ftz) {
    decoding.refuse("no such combination of modifiers");
  }
  decode_integer_to_integer(decoding, modifiers);
}

void decode_cvt_pack(Decoding& decoding) {
  struct Element {
    int bits;
    bool is_signed;
  };
  if (!decoding.take("sat")) decoding.refuse("lacks .sat");
  const Element element = decoding.require_one<Element>({{"u16", {16, false}},
                                                         {"s16", {16, true}},
                                                         {"u8", {8, false}},
                                                         {"s8", {8, true}},
                                                         {"u4", {4, false}},
                                                         {"s4", {4, true}},
                                                         {"u2", {2, false}},
                                                         {"s2", {2, true}}});
  if (decoding.take_type() != Type::kS32) decoding.refuse("no such type");
  decoding.op.immediate = element.bits;
  decoding.op.flags = element.is_signed;
  if (element.bits == 16) {
    return decoding.bind(lanes<pack_two_integers>, Type::kU32, {Type::kS32, Type::kS32});
  }
  if (decoding.take_type() != Type::kB32) decoding.refuse("no such type");
  decoding.bind(lanes<pack_integers>, Type::kU32, {Type::kS32, Type::kS32, Type::kB32});
}

}  // namespace emulator
