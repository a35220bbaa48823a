// Extended-precision arithmetic: add.cc, addc, sub.cc, subc, mad.cc, madc.
#include "execute/decoding.h"
#include "execute/lanes.h"
#include "execute/register_ops.h"
#include "numeric/integer.h"

namespace emulator {
namespace {

using ptx::Type;

// kInverted: the operation's carry is a borrow. A device computes a - b as a + ~b + 1 and keeps the
// carry of that, so its flag says that there was none. Chains of subtractions alone cannot tell,
// but ptxas's own folding of addc after sub.cc, and the compiler's 128-bit division, rest on it.
enum Flag : uint32_t { kReadsCarry = 1, kWritesCarry = 2, kInverted = 4 };

// Operands: destination, sources, the carry flag. f(sources..., carry in) gives a numeric::Carry.
template <typename T, int num_sources, auto f>
void run_with_carry(Warp& warp, const Op& op, LaneMask active) {
  T* d = words<T>(warp, op.operands[0]);
  const T* a = words<T>(warp, op.operands[1]);
  const T* b = words<T>(warp, op.operands[2]);
  const T* c = words<T>(warp, op.operands[num_sources]);  // the last source
  const int32_t flag = op.operands[num_sources + 1];
  const LaneMask inverted = op.flags & kInverted ? kAllLanes : 0;
  const LaneMask carry_in = op.flags & kReadsCarry ? warp.predicate(flag) ^ inverted : 0;
  LaneMask carry_out = 0;
  for_lanes(active, [&](int lane) {
    const numeric::Carry<T> result = f(a[lane], b[lane], c[lane], (carry_in >> lane & 1) != 0);
    d[lane] = result.value;
    carry_out |= LaneMask{result.carry} << lane;
  });
  if (op.flags & kWritesCarry) write_predicate(warp, flag, active, carry_out ^ inverted);
}

// The carry flag of a thread, and the modifiers that say what becomes of it.
void finish_carry(Decoding& decoding, bool reads, bool writes) {
  decoding.op.flags = (reads ? kReadsCarry : 0u) | (writes ? kWritesCarry : 0u);
  decoding.append(decoding.context.carry_flag());
}

// Whether an opcode such as "addc" continues a chain. `add.cc` and its like begin one; their
// decoder has taken .cc already.
bool continues(const Decoding& decoding) {
  return decoding.instruction.opcode.back() == 'c';
}

bool is_wide_enough(Type type) {
  return type == Type::kU32 || type == Type::kS32 || type == Type::kU64 || type == Type::kS64;
}

template <template <typename> typename Operation>
void decode_sum(Decoding& decoding) {
  const bool reads = continues(decoding);
  const bool writes = !reads || decoding.take("cc");
  const Type type = decoding.take_type();
  if (!is_wide_enough(type)) decoding.refuse("no such type");
  decoding.bind(ptx::bits_of(type) == 32 ? run_with_carry<uint32_t, 2, Operation<uint32_t>{}>
                                         : run_with_carry<uint64_t, 2, Operation<uint64_t>{}>,
                type, {type, type});
  finish_carry(decoding, reads, writes);
}

template <typename T>
struct Add {
  constexpr numeric::Carry<T> operator()(T a, T b, T, bool carry) const {
    return numeric::add_carry(a, b, carry);
  }
};

template <typename T>
struct Subtract {
  constexpr numeric::Carry<T> operator()(T a, T b, T, bool borrow) const {
    return numeric::sub_borrow(a, b, borrow);
  }
};

// T says how the upper half of the product is taken.
template <typename T, bool high>
Handler mad_handler() {
  using U = std::make_unsigned_t<T>;
  return run_with_carry<U, 3, [](U a, U b, U c, bool carry) {
    const U product =
        high ? static_cast<U>(numeric::mul_hi(static_cast<T>(a), static_cast<T>(b))) : a * b;
    return numeric::add_carry(product, c, carry);
  }>;
}

}  // namespace

void decode_add_carry(Decoding& decoding) {
  decode_sum<Add>(decoding);
}

void decode_sub_carry(Decoding& decoding) {
  decode_sum<Subtract>(decoding);
  decoding.op.flags |= kInverted;
}

void decode_mad_carry(Decoding& decoding) {
  const bool reads = continues(decoding);
  const bool writes = !reads || decoding.take("cc");
  const bool high = decoding.require_one<bool>({{"lo", false}, {"hi", true}});
  const Type type = decoding.take_type();
  if (!is_wide_enough(type)) decoding.refuse("no such type");
  const Handler handler = for_integer(type, [&]<typename T>() -> Handler {
    if constexpr (sizeof(T) < 4) {
      return nullptr;
    } else {
      return high ? mad_handler<T, true>() : mad_handler<T, false>();
    }
  });
  decoding.bind(handler, type, {type, type, type});
  finish_carry(decoding, reads, writes);
}

}  // namespace emulator
