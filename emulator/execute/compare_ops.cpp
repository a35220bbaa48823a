// setp, set, selp, slct, testp.
//
// PTX's eighteen comparisons come down to five: the others swap the operands or invert the result,
// which also gets NaN right (`ltu` is the inverse of `ge`).
#include <cmath>

#include "execute/decoding.h"
#include "execute/lanes.h"
#include "execute/register_ops.h"
#include "numeric/float16.h"
#include "numeric/rounding.h"

namespace emulator {
namespace {

using ptx::Type;

enum class Relation : uint8_t { kEqual, kUnequal, kLess, kLessOrEqual, kNumbers };

template <Relation relation, typename T>
bool holds(T a, T b) {
  switch (relation) {
    case Relation::kEqual:
      return a == b;
    case Relation::kUnequal:
      return a < b || a > b;  // not so for NaN
    case Relation::kLess:
      return a < b;
    case Relation::kLessOrEqual:
      return a <= b;
    case Relation::kNumbers:
      return a == a && b == b;
  }
}

struct Comparison {
  Relation relation;
  bool swap = false;
  bool invert = false;
  bool floats_only = false;
  bool unsigned_only = false;
};

Comparison take_comparison(Decoding& decoding) {
  using enum Relation;
  return decoding.require_one<Comparison>({
      {"eq", {.relation = kEqual}},
      {"ne", {.relation = kUnequal}},
      {"lt", {.relation = kLess}},
      {"le", {.relation = kLessOrEqual}},
      {"gt", {.relation = kLess, .swap = true}},
      {"ge", {.relation = kLessOrEqual, .swap = true}},
      {"lo", {.relation = kLess, .unsigned_only = true}},
      {"ls", {.relation = kLessOrEqual, .unsigned_only = true}},
      {"hi", {.relation = kLess, .swap = true, .unsigned_only = true}},
      {"hs", {.relation = kLessOrEqual, .swap = true, .unsigned_only = true}},
      {"equ", {.relation = kUnequal, .invert = true, .floats_only = true}},
      {"neu", {.relation = kEqual, .invert = true, .floats_only = true}},
      {"ltu", {.relation = kLessOrEqual, .swap = true, .invert = true, .floats_only = true}},
      {"leu", {.relation = kLess, .swap = true, .invert = true, .floats_only = true}},
      {"gtu", {.relation = kLessOrEqual, .invert = true, .floats_only = true}},
      {"geu", {.relation = kLess, .invert = true, .floats_only = true}},
      {"num", {.relation = kNumbers, .floats_only = true}},
      {"nan", {.relation = kNumbers, .invert = true, .floats_only = true}},
  });
}

// Op::flags of setp and set: what becomes of the comparison's result.
enum Flag : uint32_t {
  kInvert = 1,
  kAnd = 2,
  kOr = 4,
  kXor = 8,
  kNegateC = 16,
  kHasC = kAnd | kOr | kXor,
};

LaneMask combine(const Op& op, LaneMask result, LaneMask c) {
  if (op.flags & kNegateC) c = ~c;
  if (op.flags & kAnd) return result & c;
  if (op.flags & kOr) return result | c;
  if (op.flags & kXor) return result ^ c;
  return result;
}

// Operand numbers that setp and set share; C is there only if kHasC.
enum Operand : int { kP = 0, kQ = 1, kA = 2, kB = 3, kC = 4 };

// How operands are read: as T, then passed through convert.
template <typename T, auto convert>
struct As {
  using Stored = T;
  static auto read(Word<T> word) { return convert(static_cast<T>(word)); }
};

template <typename T>
struct Plain {
  using Stored = T;
  static T read(Word<T> word) { return static_cast<T>(word); }
};

// The lanes of `active` for which the relation holds between operands A and B.
template <Relation relation, typename Element>
LaneMask compare(Warp& warp, const Op& op, LaneMask active) {
  using T = typename Element::Stored;
  const Word<T>* a = words<T>(warp, op.operands[kA]);
  const Word<T>* b = words<T>(warp, op.operands[kB]);
  LaneMask result = 0;
  for_lanes(active, [&](int lane) {
    result |= LaneMask{holds<relation>(Element::read(a[lane]), Element::read(b[lane]))} << lane;
  });
  return op.flags & kInvert ? ~result : result;
}

LaneMask operand_c(Warp& warp, const Op& op) {
  return op.flags & kHasC ? warp.predicate(op.operands[kC]) : 0;
}

template <Relation relation, typename Element>
void run_setp(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask result = compare<relation, Element>(warp, op, active);
  const LaneMask c = operand_c(warp, op);
  write_predicate(warp, op.operands[kP], active, combine(op, result, c));
  write_predicate(warp, op.operands[kQ], active, combine(op, ~result, c));
}

// Packed operands: P is the lower halves' result, Q the upper ones'.
template <Relation relation, typename Lower, typename Upper>
void run_setp_pair(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask lower = compare<relation, Lower>(warp, op, active);
  const LaneMask upper = compare<relation, Upper>(warp, op, active);
  const LaneMask c = operand_c(warp, op);
  write_predicate(warp, op.operands[kP], active, combine(op, lower, c));
  write_predicate(warp, op.operands[kQ], active, combine(op, upper, c));
}

// set writes Op::immediate where the result is true, else 0.
template <Relation relation, typename Element>
void run_set(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask result =
      combine(op, compare<relation, Element>(warp, op, active), operand_c(warp, op));
  uint32_t* d = warp.u32(op.operands[kP]);
  const auto when_true = static_cast<uint32_t>(op.immediate);
  for_lanes(active, [&](int lane) { d[lane] = result >> lane & 1 ? when_true : 0; });
}

template <Relation relation, typename Lower, typename Upper>
void run_set_pair(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask c = operand_c(warp, op);
  const LaneMask lower = combine(op, compare<relation, Lower>(warp, op, active), c);
  const LaneMask upper = combine(op, compare<relation, Upper>(warp, op, active), c);
  uint32_t* d = warp.u32(op.operands[kP]);
  const auto when_true = static_cast<uint16_t>(op.immediate);
  for_lanes(active, [&](int lane) {
    d[lane] = numeric::pack(upper >> lane & 1 ? when_true : 0, lower >> lane & 1 ? when_true : 0);
  });
}

// Both instructions over one kind of element.
struct Handlers {
  Handler setp = nullptr;
  Handler set = nullptr;
};

// handlers.operator()<relation>()
template <typename F>
Handlers for_relation(Relation relation, F handlers) {
  switch (relation) {
    case Relation::kEqual:
      return handlers.template operator()<Relation::kEqual>();
    case Relation::kUnequal:
      return handlers.template operator()<Relation::kUnequal>();
    case Relation::kLess:
      return handlers.template operator()<Relation::kLess>();
    case Relation::kLessOrEqual:
      return handlers.template operator()<Relation::kLessOrEqual>();
    case Relation::kNumbers:
      return handlers.template operator()<Relation::kNumbers>();
  }
  return {};
}

template <typename Element>
Handlers handlers_of(Relation relation) {
  return for_relation(
      relation, []<Relation r>() { return Handlers{run_setp<r, Element>, run_set<r, Element>}; });
}

template <typename Lower, typename Upper>
Handlers pair_handlers_of(Relation relation) {
  return for_relation(relation, []<Relation r>() {
    return Handlers{run_setp_pair<r, Lower, Upper>, run_set_pair<r, Lower, Upper>};
  });
}

using numeric::BF16;
using numeric::F16;

template <typename Format, bool ftz>
float widen(uint16_t bits) {
  return numeric::to_float<Format>(ftz ? numeric::flush16<Format>(bits) : bits);
}

template <typename Format, bool ftz>
constexpr auto lower = [](uint32_t word) { return widen<Format, ftz>(numeric::lower_half(word)); };
template <typename Format, bool ftz>
constexpr auto upper = [](uint32_t word) { return widen<Format, ftz>(numeric::upper_half(word)); };

template <typename Format, bool ftz>
Handlers half_handlers(Relation relation, bool packed) {
  if (!packed) return handlers_of<As<uint16_t, widen<Format, ftz>>>(relation);
  return pair_handlers_of<As<uint32_t, lower<Format, ftz>>, As<uint32_t, upper<Format, ftz>>>(
      relation);
}

Handlers find_handlers(Type type, Relation relation, bool ftz) {
  if (ftz) {
    switch (type) {
      case Type::kF32:
        return handlers_of<As<float, numeric::flush<float>>>(relation);
      case Type::kF16:
      case Type::kF16x2:
        return half_handlers<F16, true>(relation, type == Type::kF16x2);
      default:
        return {};
    }
  }
  switch (type) {
    case Type::kB16:
    case Type::kU16:
      return handlers_of<Plain<uint16_t>>(relation);
    case Type::kS16:
      return handlers_of<Plain<int16_t>>(relation);
    case Type::kB32:
    case Type::kU32:
      return handlers_of<Plain<uint32_t>>(relation);
    case Type::kS32:
      return handlers_of<Plain<int32_t>>(relation);
    case Type::kB64:
    case Type::kU64:
      return handlers_of<Plain<uint64_t>>(relation);
    case Type::kS64:
      return handlers_of<Plain<int64_t>>(relation);
    case Type::kF32:
      return handlers_of<Plain<float>>(relation);
    case Type::kF64:
      return handlers_of<Plain<double>>(relation);
    case Type::kF16:
    case Type::kF16x2:
      return half_handlers<F16, false>(relation, type == Type::kF16x2);
    case Type::kBF16:
    case Type::kBF16x2:
      return half_handlers<BF16, false>(relation, type == Type::kBF16x2);
    default:
      return {};
  }
}

// Operands: d, a, b, c.
template <typename T>
void run_selp(Warp& warp, const Op& op, LaneMask active) {
  const Word<T>* a = words<T>(warp, op.operands[1]);
  const Word<T>* b = words<T>(warp, op.operands[2]);
  Word<T>* d = words<T>(warp, op.operands[0]);
  const Word<T> c = warp.predicate(op.operands[3]);
  for_independent_lanes(active, [&](int lane) {
    const Word<T> chosen = 0 - (c >> lane & 1);  // all bits or none: no branch, so it vectorises
    d[lane] = (a[lane] & chosen) | (b[lane] & ~chosen);
  });
}

bool is_packed(Type type) {
  return type == Type::kF16x2 || type == Type::kBF16x2;
}

void check_comparison(const Decoding& decoding, const Comparison& comparison, Type type) {
  const bool bits = type == Type::kB16 || type == Type::kB32 || type == Type::kB64;
  const bool ordering =
      comparison.relation != Relation::kEqual && comparison.relation != Relation::kUnequal;
  if ((comparison.floats_only && !is_float(type)) ||
      (comparison.unsigned_only && (is_float(type) || is_signed(type))) || (bits && ordering)) {
    decoding.refuse("no such comparison of this type");
  }
}

void use_sources(Decoding& decoding, const Comparison& comparison, Type type,
                 uint32_t combination) {
  const ptx::Operand& a = decoding.next();
  const ptx::Operand& b = decoding.next();
  decoding.append(decoding.context.use(comparison.swap ? b : a, type));
  decoding.append(decoding.context.use(comparison.swap ? a : b, type));
  decoding.op.flags = combination | (comparison.invert ? kInvert : 0u);
  if (combination != 0 && decoding.use_predicate()) decoding.op.flags |= kNegateC;
}

uint32_t take_combination(Decoding& decoding) {
  return decoding.take_one<uint32_t>({{"and", kAnd}, {"or", kOr}, {"xor", kXor}}).value_or(0);
}

// What set writes where the comparison holds; empty where it cannot write `d` from `s`.
std::optional<uint32_t> true_value(Type d, Type s) {
  constexpr uint32_t kOneF32 = 0x3f800000;
  switch (d) {
    case Type::kU32:
    case Type::kS32:
      return is_packed(s) ? 0xffff : 0xffffffff;
    case Type::kU16:
    case Type::kS16:
      if (s != Type::kF16 && s != Type::kBF16) return std::nullopt;
      return 0xffff;
    case Type::kF32:
      return is_packed(s) ? std::nullopt : std::optional(kOneF32);
    case Type::kF16:
    case Type::kBF16:
      if (is_packed(s)) return std::nullopt;
      return d == Type::kF16 ? F16::kOne : BF16::kOne;
    case Type::kF16x2:
    case Type::kBF16x2:
      if (s != d) return std::nullopt;
      return d == Type::kF16x2 ? F16::kOne : BF16::kOne;
    default:
      return std::nullopt;
  }
}

}  // namespace

void decode_setp(Decoding& decoding) {
  const Comparison comparison = take_comparison(decoding);
  const uint32_t combination = take_combination(decoding);
  const bool ftz = decoding.take("ftz");
  const Type type = decoding.take_type();
  check_comparison(decoding, comparison, type);
  decoding.set_handler(find_handlers(type, comparison.relation, ftz).setp);
  decoding.define_pair(Type::kPred);
  use_sources(decoding, comparison, type, combination);
}

void decode_set(Decoding& decoding) {
  const Comparison comparison = take_comparison(decoding);
  const uint32_t combination = take_combination(decoding);
  const bool ftz = decoding.take("ftz");
  const Type result = decoding.take_type(), type = decoding.take_type();
  check_comparison(decoding, comparison, type);
  const std::optional<uint32_t> value = true_value(result, type);
  if (!value) decoding.refuse("no such combination of types");
  decoding.op.immediate = *value;
  decoding.set_handler(find_handlers(type, comparison.relation, ftz).set);
  decoding.define(result);
  decoding.append(decoding.context.scratch(4));  // keeps setp's operand numbers
  use_sources(decoding, comparison, type, combination);
}

void decode_selp(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (is_packed(type)) decoding.refuse("no such type");
  decoding.bind(for_width(type, []<typename T>() -> Handler { return run_selp<T>; }), type,
                {type, type});
  if (decoding.use_predicate()) decoding.refuse("a negated predicate");
}

void decode_slct(Decoding& decoding) {
  const bool ftz = decoding.take("ftz");
  const Type type = decoding.take_type(), selector = decoding.take_type();
  Handler handler = nullptr;
  // A subnormal selector that .ftz turns into a zero selects a.
  if (selector == Type::kF32) {
    handler = for_width(type, [&]<typename T>() -> Handler {
      if (ftz) {
        return lanes<[](T a, T b, float c) { return numeric::flush(c) >= 0 ? a : b; }>;
      }
      return lanes<[](T a, T b, float c) { return c >= 0 ? a : b; }>;
    });
  } else if (selector == Type::kS32 && !ftz) {
    handler = for_width(type, []<typename T>() {
      return lanes<[](T a, T b, int32_t c) { return c >= 0 ? a : b; }>;
    });
  }
  decoding.bind(handler, type, {type, type, selector});
}

void decode_testp(Decoding& decoding) {
  using numeric::Property;
  const auto handler_of = [&]<typename F>() {
    return decoding.require_one<Handler>(
        {{"finite", lanes<[](F a) { return numeric::testp(a, Property::kFinite); }>},
         {"infinite", lanes<[](F a) { return numeric::testp(a, Property::kInfinite); }>},
         {"number", lanes<[](F a) { return numeric::testp(a, Property::kNumber); }>},
         {"notanumber", lanes<[](F a) { return numeric::testp(a, Property::kNotANumber); }>},
         {"normal", lanes<[](F a) { return numeric::testp(a, Property::kNormal); }>},
         {"subnormal", lanes<[](F a) { return numeric::testp(a, Property::kSubnormal); }>}});
  };
  const bool wide = decoding.instruction.has("f64");
  const Handler handler = wide ? handler_of.operator()<double>() : handler_of.operator()<float>();
  const Type type = decoding.take_type();
  if (type != Type::kF32 && type != Type::kF64) decoding.refuse("no such type");
  decoding.bind(handler, Type::kPred, {type});
}

}  // namespace emulator
