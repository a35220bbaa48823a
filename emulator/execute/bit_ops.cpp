// Logic, shifts and bit fields.
#include "execute/decoding.h"
#include "execute/lanes.h"
#include "execute/register_ops.h"
#include "numeric/integer.h"

namespace emulator {
namespace {

using ptx::Type;

// Types of bits only.
bool is_bits(Type type) {
  return type == Type::kB16 || type == Type::kB32 || type == Type::kB64;
}

bool is_wide_bits(Type type) {
  return type == Type::kB32 || type == Type::kB64;
}

bool is_wide_integer(Type type) {
  return type == Type::kU32 || type == Type::kS32 || type == Type::kU64 || type == Type::kS64;
}

// Predicates hold one bit a lane, so that one operation serves the whole warp. A source that is
// written with `!` has its bit set in Op::flags.
template <auto f>
void run_on_predicates(Warp& warp, const Op& op, LaneMask active) {
  const auto source = [&](int i) {
    const LaneMask negation = op.flags >> i & 1 ? kAllLanes : 0;
    return warp.predicate(op.operands[1 + i]) ^ negation;
  };
  write_predicate(warp, op.operands[0], active, f(source(0), source(1)));
}

template <template <typename> typename Operation>
void decode_binary_logic(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (type == Type::kPred) {
    decoding.set_handler(run_on_predicates<Operation<LaneMask>{}>);
    decoding.define(type);
    decoding.op.flags = decoding.use_predicate() ? 1 : 0;
    decoding.op.flags |= decoding.use_predicate() ? 2 : 0;
    return;
  }
  if (!is_bits(type)) decoding.refuse("no such type");
  decoding.bind(for_width(type, []<typename T>() { return lanes<Operation<T>{}>; }), type,
                {type, type});
}

template <typename T>
struct And {
  constexpr T operator()(T a, T b) const { return a & b; }
};
template <typename T>
struct Or {
  constexpr T operator()(T a, T b) const { return a | b; }
};
template <typename T>
struct Xor {
  constexpr T operator()(T a, T b) const { return a ^ b; }
};

void run_not_predicate(Warp& warp, const Op& op, LaneMask active) {
  const LaneMask negation = op.flags & 1 ? kAllLanes : 0;
  write_predicate(warp, op.operands[0], active, ~(warp.predicate(op.operands[1]) ^ negation));
}

// The table's eight bits, spread over whole words, chosen one operand after the other.
uint32_t look_up(const Op& op, uint32_t a, uint32_t b, uint32_t c) {
  const auto table = static_cast<uint32_t>(op.immediate);
  const auto entry = [&](int i) { return 0 - (table >> i & 1); };
  const auto choose = [](uint32_t selector, uint32_t one, uint32_t zero) {
    return (selector & one) | (~selector & zero);
  };
  const uint32_t with_b = choose(c, entry(3), entry(2)), with_a_b = choose(c, entry(7), entry(6));
  const uint32_t with_none = choose(c, entry(1), entry(0)), with_a = choose(c, entry(5), entry(4));
  return choose(a, choose(b, with_a_b, with_a), choose(b, with_b, with_none));
}

enum Lop3Flag : uint32_t { kCombineWithAnd = 1, kNegateQ = 2 };

// Operands: d, p, a, b, c, q.
void run_lop3_predicate(Warp& warp, const Op& op, LaneMask active) {
  const uint32_t* a = warp.u32(op.operands[2]);
  const uint32_t* b = warp.u32(op.operands[3]);
  const uint32_t* c = warp.u32(op.operands[4]);
  uint32_t* d = warp.u32(op.operands[0]);
  LaneMask non_zero = 0;
  for_lanes(active, [&](int lane) {
    d[lane] = look_up(op, a[lane], b[lane], c[lane]);
    non_zero |= LaneMask{d[lane] != 0} << lane;
  });
  LaneMask q = warp.predicate(op.operands[5]);
  if (op.flags & kNegateQ) q = ~q;
  write_predicate(warp, op.operands[1], active,
                  op.flags & kCombineWithAnd ? non_zero & q : non_zero | q);
}

template <auto clamping, auto wrapping>
Handler choose(bool clamp) {
  return clamp ? lanes<clamping> : lanes<wrapping>;
}

template <bool left, bool clamp>
constexpr auto shift = [](uint32_t a, uint32_t b, uint32_t c) {
  return left ? numeric::shf_left(a, b, c, clamp) : numeric::shf_right(a, b, c, clamp);
};

using numeric::PermuteMode;

template <PermuteMode mode>
constexpr auto permute =
    [](uint32_t a, uint32_t b, uint32_t c) { return numeric::prmt(a, b, c, mode); };

}  // namespace

void decode_and(Decoding& decoding) {
  decode_binary_logic<And>(decoding);
}
void decode_or(Decoding& decoding) {
  decode_binary_logic<Or>(decoding);
}
void decode_xor(Decoding& decoding) {
  decode_binary_logic<Xor>(decoding);
}

void decode_not(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (type == Type::kPred) {
    decoding.set_handler(run_not_predicate);
    decoding.define(type);
    decoding.op.flags = decoding.use_predicate() ? 1 : 0;
    return;
  }
  if (!is_bits(type)) decoding.refuse("no such type");
  decoding.bind(
      for_width(type, []<typename T>() { return lanes<[](T a) { return static_cast<T>(~a); }>; }),
      type, {type});
}

void decode_cnot(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (!is_bits(type)) decoding.refuse("no such type");
  decoding.bind(
      for_width(type,
                []<typename T>() { return lanes<[](T a) { return static_cast<T>(a == 0); }>; }),
      type, {type});
}

void decode_lop3(Decoding& decoding) {
  const std::optional<bool> combine = decoding.take_one<bool>({{"and", true}, {"or", false}});
  if (decoding.take_type() != Type::kB32) decoding.refuse("no such type");
  if (combine) {
    decoding.define_pair(Type::kB32);
  } else {
    decoding.define(Type::kB32);
  }
  for (int i = 0; i < 3; ++i) decoding.use(Type::kB32);
  decoding.op.immediate = decoding.constant() & 0xff;
  if (!combine) return decoding.set_handler(lanes<look_up>);
  decoding.set_handler(run_lop3_predicate);
  decoding.op.flags = *combine ? kCombineWithAnd : 0u;
  if (decoding.use_predicate()) decoding.op.flags |= kNegateQ;
}

void decode_shl(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (!is_bits(type)) decoding.refuse("no such type");
  decoding.bind(for_width(type, []<typename T>() { return lanes<numeric::shl<T>>; }), type,
                {type, Type::kU32});
}

void decode_shr(Decoding& decoding) {
  const Type type = decoding.take_type();
  const auto handler_of = []<typename T>() { return lanes<numeric::shr<T>>; };
  decoding.bind(is_bits(type) ? for_width(type, handler_of) : for_integer(type, handler_of), type,
                {type, Type::kU32});
}

void decode_shf(Decoding& decoding) {
  const bool left = decoding.require_one<bool>({{"l", true}, {"r", false}});
  const bool clamp = decoding.require_one<bool>({{"clamp", true}, {"wrap", false}});
  const Type type = decoding.take_type();
  if (type != Type::kB32) decoding.refuse("no such type");
  const Handler handler = left ? choose<shift<true, true>, shift<true, false>>(clamp)
                               : choose<shift<false, true>, shift<false, false>>(clamp);
  decoding.bind(handler, type, {type, type, Type::kU32});
}

void decode_prmt(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (type != Type::kB32) decoding.refuse("no such type");
  const std::optional<Handler> special =
      decoding.take_one<Handler>({{"f4e", lanes<permute<PermuteMode::kF4E>>},
                                  {"b4e", lanes<permute<PermuteMode::kB4E>>},
                                  {"rc8", lanes<permute<PermuteMode::kRC8>>},
                                  {"ecl", lanes<permute<PermuteMode::kECL>>},
                                  {"ecr", lanes<permute<PermuteMode::kECR>>},
                                  {"rc16", lanes<permute<PermuteMode::kRC16>>}});
  decoding.bind(special.value_or(lanes<permute<PermuteMode::kGeneric>>), type, {type, type, type});
}

void decode_popc(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (!is_wide_bits(type)) decoding.refuse("no such type");
  decoding.bind(for_width(type, []<typename T>() { return lanes<numeric::popc<T>>; }), Type::kU32,
                {type});
}

void decode_clz(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (!is_wide_bits(type)) decoding.refuse("no such type");
  decoding.bind(for_width(type, []<typename T>() { return lanes<numeric::clz<T>>; }), Type::kU32,
                {type});
}

void decode_brev(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (!is_wide_bits(type)) decoding.refuse("no such type");
  decoding.bind(for_width(type, []<typename T>() { return lanes<numeric::brev<T>>; }), type,
                {type});
}

void decode_bfind(Decoding& decoding) {
  const bool shift_amount = decoding.take("shiftamt");
  const Type type = decoding.take_type();
  if (!is_wide_integer(type)) decoding.refuse("no such type");
  const Handler handler = for_integer(type, [&]<typename T>() -> Handler {
    if (shift_amount) return lanes<[](T a) { return numeric::bfind(a, true); }>;
    return lanes<[](T a) { return numeric::bfind(a, false); }>;
  });
  decoding.bind(handler, Type::kU32, {type});
}

void decode_bfe(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (!is_wide_integer(type)) decoding.refuse("no such type");
  decoding.bind(for_integer(type, []<typename T>() { return lanes<numeric::bfe<T>>; }), type,
                {type, Type::kU32, Type::kU32});
}

void decode_bfi(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (!is_wide_bits(type)) decoding.refuse("no such type");
  decoding.bind(for_width(type, []<typename T>() { return lanes<numeric::bfi<T>>; }), type,
                {type, type, Type::kU32, Type::kU32});
}

void decode_bmsk(Decoding& decoding) {
  const bool clamp = decoding.require_one<bool>({{"clamp", true}, {"wrap", false}});
  const Type type = decoding.take_type();
  if (type != Type::kB32) decoding.refuse("no such type");
  decoding.bind(choose<[](uint32_t a, uint32_t b) { return numeric::bmsk(a, b, true); },
                       [](uint32_t a, uint32_t b) { return numeric::bmsk(a, b, false); }>(clamp),
                type, {type, type});
}

void decode_fns(Decoding& decoding) {
  const Type type = decoding.take_type();
  if (type != Type::kB32) decoding.refuse("no such type");
  decoding.bind(lanes<numeric::fns>, type, {type, type, Type::kS32});
}

}  // namespace emulator
