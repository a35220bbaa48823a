// atom and red. CTAs run on several host threads, so every update is one of the host's atomics.
#include <bit>
#include <cstring>

#include "memory/memory_decoding.h"
#include "numeric/arithmetic16.h"
#include "numeric/rounding.h"

namespace emulator {
namespace {

struct AtomicForm {
  AddressForm address;
  int bytes = 0;
};

// What is the same for all lanes of an update.
struct Situation {
  bool flushes = false;  // f32 sums in global memory lose subnormals; those in shared memory do not
};

template <typename T>
struct Exchange {
  static T apply(T, T b, T, Situation) { return b; }
};
template <typename T>
struct CompareAndSwap {
  static T apply(T old, T b, T c, Situation) { return old == b ? c : old; }
};
template <typename T>
struct And {
  static T apply(T old, T b, T, Situation) { return old & b; }
};
template <typename T>
struct Or {
  static T apply(T old, T b, T, Situation) { return old | b; }
};
template <typename T>
struct Xor {
  static T apply(T old, T b, T, Situation) { return old ^ b; }
};
template <typename T>
struct Add {
  static T apply(T old, T b, T, Situation) { return old + b; }
};
struct Increment {
  static uint32_t apply(uint32_t old, uint32_t b, uint32_t, Situation) {
    return old >= b ? 0 : old + 1;
  }
};
struct Decrement {
  static uint32_t apply(uint32_t old, uint32_t b, uint32_t, Situation) {
    return old == 0 || old > b ? b : old - 1;
  }
};
template <typename T, typename Ordered>
struct Minimum {
  static T apply(T old, T b, T, Situation) {
    return static_cast<Ordered>(b) < static_cast<Ordered>(old) ? b : old;
  }
};
template <typename T, typename Ordered>
struct Maximum {
  static T apply(T old, T b, T, Situation) {
    return static_cast<Ordered>(b) > static_cast<Ordered>(old) ? b : old;
  }
};
struct AddF32 {
  static uint32_t apply(uint32_t old, uint32_t b, uint32_t, Situation situation) {
    float x = std::bit_cast<float>(old), y = std::bit_cast<float>(b);
    if (situation.flushes) return bits(numeric::flush(numeric::flush(x) + numeric::flush(y)));
    return bits(x + y);
  }
  static uint32_t bits(float sum) { return std::bit_cast<uint32_t>(numeric::canonical(sum)); }
};
struct AddF64 {
  static uint64_t apply(uint64_t old, uint64_t b, uint64_t, Situation) {
    return std::bit_cast<uint64_t>(std::bit_cast<double>(old) + std::bit_cast<double>(b));
  }
};
struct AddF16 {
  static uint16_t apply(uint16_t old, uint16_t b, uint16_t, Situation) {
    return numeric::add16<numeric::F16>(old, b);
  }
};
struct AddF16x2 {
  static uint32_t apply(uint32_t old, uint32_t b, uint32_t, Situation) {
    const auto half = [&](int shift) {
      const auto sum = numeric::add16<numeric::F16>(static_cast<uint16_t>(old >> shift),
                                                    static_cast<uint16_t>(b >> shift));
      return uint32_t{sum} << shift;
    };
    return half(0) | half(16);
  }
};

template <typename T, typename Operation>
T update(std::byte* place, T b, T c, Situation situation) {
  T* value = reinterpret_cast<T*>(place);
  T old = __atomic_load_n(value, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(value, &old, Operation::apply(old, b, c, situation), true,
                                      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
  }
  return old;
}

// Op::operands: base, d (a scratch register where the result is not wanted), b, c.
template <typename T, typename Operation>
void update_lanes(Warp& warp, const Op& op, LaneMask active) {
  const auto& form = form_of<AtomicForm>(op);
  Access access(warp, op, active, form.bytes, Intent::kUpdate, /*strong=*/true);
  access.set_addresses(op.operands[0], form.address.base_bits, op.immediate);
  Places places;
  resolve(form.address.space, access, places);
  using Slot = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  const auto slots = [&](int operand) {
    return reinterpret_cast<Slot*>(warp.u32(op.operands[operand]));
  };
  Slot* results = slots(1);
  const Slot* b = slots(2);
  const Slot* c = slots(3);
  for_lanes(active, [&](int lane) {
    const bool shared = form.address.space == ptx::Space::kShared ||
                        (access.address[lane] & kWindowMask) == kSharedWindow;
    results[lane] = update<T, Operation>(places.at(lane, form.bytes), static_cast<T>(b[lane]),
                                         static_cast<T>(c[lane]), {.flushes = !shared});
  });
  warp.yield();
}

enum class Operation : uint8_t { kAnd, kOr, kXor, kExch, kCas, kAdd, kInc, kDec, kMin, kMax };

template <typename T>
Handler bitwise(Operation operation) {
  switch (operation) {
    case Operation::kAnd:
      return &update_lanes<T, And<T>>;
    case Operation::kOr:
      return &update_lanes<T, Or<T>>;
    case Operation::kXor:
      return &update_lanes<T, Xor<T>>;
    case Operation::kExch:
      return &update_lanes<T, Exchange<T>>;
    case Operation::kCas:
      return &update_lanes<T, CompareAndSwap<T>>;
    default:
      return nullptr;
  }
}

template <typename T, typename Ordered>
Handler arithmetic(Operation operation) {
  switch (operation) {
    case Operation::kAdd:
      return &update_lanes<T, Add<T>>;
    case Operation::kMin:
      return &update_lanes<T, Minimum<T, Ordered>>;
    case Operation::kMax:
      return &update_lanes<T, Maximum<T, Ordered>>;
    default:
      return nullptr;
  }
}

// Null where no target up to sm_89 has the combination.
Handler handler_of(Operation operation, ptx::Type type) {
  using ptx::Type;
  const bool adds = operation == Operation::kAdd;
  switch (type) {
    case Type::kB16:
      return operation == Operation::kCas ? &update_lanes<uint16_t, CompareAndSwap<uint16_t>>
                                          : nullptr;
    case Type::kB32:
      return bitwise<uint32_t>(operation);
    case Type::kB64:
      return bitwise<uint64_t>(operation);
    case Type::kU32:
      if (operation == Operation::kInc) return &update_lanes<uint32_t, Increment>;
      if (operation == Operation::kDec) return &update_lanes<uint32_t, Decrement>;
      return arithmetic<uint32_t, uint32_t>(operation);
    case Type::kS32:
      return arithmetic<uint32_t, int32_t>(operation);
    case Type::kU64:
      return arithmetic<uint64_t, uint64_t>(operation);
    case Type::kS64:
      return adds ? nullptr : arithmetic<uint64_t, int64_t>(operation);
    case Type::kF32:
      return adds ? &update_lanes<uint32_t, AddF32> : nullptr;
    case Type::kF64:
      return adds ? &update_lanes<uint64_t, AddF64> : nullptr;
    case Type::kF16:
      return adds ? &update_lanes<uint16_t, AddF16> : nullptr;
    case Type::kF16x2:
      return adds ? &update_lanes<uint32_t, AddF16x2> : nullptr;
    default:
      return nullptr;
  }
}

void decode_update(Decoding& decoding, bool has_result) {
  take_ordering(decoding);
  const ptx::Space space = take_space(decoding);
  if (space != ptx::Space::kGlobal && space != ptx::Space::kShared &&
      space != ptx::Space::kGeneric) {
    decoding.refuse("no atomics in this space");
  }
  const Operation operation = decoding.require_one<Operation>({{"and", Operation::kAnd},
                                                               {"or", Operation::kOr},
                                                               {"xor", Operation::kXor},
                                                               {"exch", Operation::kExch},
                                                               {"cas", Operation::kCas},
                                                               {"add", Operation::kAdd},
                                                               {"inc", Operation::kInc},
                                                               {"dec", Operation::kDec},
                                                               {"min", Operation::kMin},
                                                               {"max", Operation::kMax}});
  if (!has_result && (operation == Operation::kExch || operation == Operation::kCas)) {
    decoding.refuse("red has no such operation");
  }
  const bool noftz = decoding.take("noftz");
  const bool has_policy = decoding.take("L2::cache_hint");
  const ptx::Type type = decoding.take_type();
  if (noftz != (type == ptx::Type::kF16 || type == ptx::Type::kF16x2)) {
    decoding.refuse(".noftz belongs to sums of .f16 and .f16x2, and .bf16 needs sm_90");
  }
  const Handler handler = handler_of(operation, type);
  if (handler == nullptr) decoding.refuse("no such operation of this type up to sm_89");

  const int32_t result = has_result ? decoding.context.define(decoding.next(), type)
                                    : decoding.context.scratch(ptx::bits_of(type) <= 32 ? 4 : 8);
  AtomicForm form;
  form.bytes = ptx::bits_of(type) / 8;
  form.address = use_address(decoding, space);
  decoding.append(result);
  const int32_t b = decoding.context.use(decoding.next(), type);
  decoding.append(b);
  decoding.append(operation == Operation::kCas ? decoding.context.use(decoding.next(), type) : b);
  if (has_policy) use_cache_policy(decoding);
  keep_form(decoding, form);
  decoding.set_handler(handler);
}

}  // namespace

void decode_atomic(Decoding& decoding) {
  decode_update(decoding, true);
}
void decode_reduction(Decoding& decoding) {
  decode_update(decoding, false);
}

}  // namespace emulator
