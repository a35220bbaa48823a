// Integer arithmetic, and the table of everything that works on bits.
#include <algorithm>
#include <type_traits>

#include "execute/decoder.h"
#include "execute/decoding.h"
#include "execute/lanes.h"
#include "execute/register_ops.h"
#include "numeric/integer.h"

namespace emulator {
namespace {

using ptx::Type;

enum class Part : uint8_t { kLow, kHigh, kWide };

Part take_part(Decoding& decoding) {
  return decoding.require_one<Part>(
      {{"lo", Part::kLow}, {"hi", Part::kHigh}, {"wide", Part::kWide}});
}

Type widened(Type type) {
  switch (type) {
    case Type::kU16:
      return Type::kU32;
    case Type::kS16:
      return Type::kS32;
    case Type::kU32:
      return Type::kU64;
    case Type::kS32:
      return Type::kS64;
    default:
      return Type::kNone;
  }
}

// Signed arithmetic wraps, which only unsigned does in C++. The products of 16-bit values are taken
// in 32 bits: C++ would promote them to signed int.
template <typename T>
using Wrapping = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <typename T>
T wrapping_mul(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
}

template <typename T>
using Wide =
    std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>;

// Division by zero has no defined result; this is what the sequence that ptxas emits gives.
template <typename T>
T divide(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(a));
  }
  return static_cast<T>(a / b);
}

template <typename T>
T remainder(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}

template <typename T>
constexpr auto add = [](T a, T b) -> T { return static_cast<T>(a + b); };
template <typename T>
constexpr auto sub = [](T a, T b) -> T { return static_cast<T>(a - b); };
template <typename T>
struct Least {
  constexpr T operator()(T a, T b) const { return std::min(a, b); }
};
template <typename T>
struct Greatest {
  constexpr T operator()(T a, T b) const { return std::max(a, b); }
};
template <typename T>
constexpr auto negate = [](T a) -> T { return static_cast<T>(0 - a); };
template <typename T, auto f>
constexpr auto relu_of = [](T a, T b) -> T { return std::max(f(a, b), T{0}); };

// A 16-bit operation on both halves.
template <typename T, auto f>
constexpr auto both_halves = [](uint32_t a, uint32_t b) { return numeric::each_int16<T>(f, a, b); };

// handler_of.operator()<a is signed, b is signed>()
template <typename HandlerOf>
Handler dot_handler(Type a, Type b, HandlerOf handler_of) {
  const auto is_32_bit = [](Type type) { return type == Type::kU32 || type == Type::kS32; };
  if (!is_32_bit(a) || !is_32_bit(b)) return nullptr;
  if (is_signed(a)) {
    return is_signed(b) ? handler_of.template operator()<true, true>()
                        : handler_of.template operator()<true, false>();
  }
  return is_signed(b) ? handler_of.template operator()<false, true>()
                      : handler_of.template operator()<false, false>();
}

void decode_integer_add(Decoding& decoding) {
  if (decoding.take("cc")) return decode_add_carry(decoding);
  const bool saturate = decoding.take("sat");
  const Type type = decoding.take_type();
  Handler handler = nullptr;
  if (saturate) {
    if (type == Type::kS32) handler = lanes<numeric::add_saturated>;
  } else if (type == Type::kU16x2 || type == Type::kS16x2) {
    handler = lanes<both_halves<uint16_t, add<uint16_t>>>;
  } else if (is_integer(type)) {
    handler = for_width(type, []<typename T>() { return lanes<add<T>>; });
  }
  decoding.bind(handler, type, {type, type});
}

void decode_integer_sub(Decoding& decoding) {
  if (decoding.take("cc")) return decode_sub_carry(decoding);
  const bool saturate = decoding.take("sat");
  const Type type = decoding.take_type();
  Handler handler = nullptr;
  if (saturate) {
    if (type == Type::kS32) handler = lanes<numeric::sub_saturated>;
  } else if (is_integer(type)) {
    handler = for_width(type, []<typename T>() { return lanes<sub<T>>; });
  }
  decoding.bind(handler, type, {type, type});
}

void decode_integer_mul(Decoding& decoding) {
  const Part part = take_part(decoding);
  const Type type = decoding.take_type();
  const Handler handler = for_integer(type, [&]<typename T>() -> Handler {
    if (part == Part::kLow) return lanes<wrapping_mul<T>>;
    if (part == Part::kHigh) return lanes<numeric::mul_hi<T>>;
    if constexpr (sizeof(T) < 8) {
      return lanes<[](T a, T b) { return wrapping_mul<Wide<T>>(a, b); }>;
    }
    return nullptr;
  });
  decoding.bind(handler, part == Part::kWide ? widened(type) : type, {type, type});
}

void decode_integer_mad(Decoding& decoding) {
  if (decoding.take("cc")) return decode_mad_carry(decoding);
  const Part part = take_part(decoding);
  const bool saturate = decoding.take("sat");
  const Type type = decoding.take_type();
  Handler handler = nullptr;
  if (saturate) {
    if (part == Part::kHigh && type == Type::kS32) handler = lanes<numeric::mad_hi_saturated>;
  } else {
    handler = for_integer(type, [&]<typename T>() -> Handler {
      if (part == Part::kLow) {
        return lanes<[](T a, T b, T c) -> T { return add<T>(wrapping_mul<T>(a, b), c); }>;
      }
      if (part == Part::kHigh) return lanes<numeric::mad_hi<T>>;
      if constexpr (sizeof(T) < 8) {
        using W = Wide<T>;
        return lanes<[](T a, T b, W c) -> W {
          const auto product = static_cast<std::make_unsigned_t<W>>(wrapping_mul<W>(a, b));
          return static_cast<W>(product + static_cast<std::make_unsigned_t<W>>(c));
        }>;
      }
      return nullptr;
    });
  }
  const Type result = part == Part::kWide ? widened(type) : type;
  decoding.bind(handler, result, {type, type, result});
}

void decode_mul24(Decoding& decoding) {
  const bool high = decoding.require_one<bool>({{"lo", false}, {"hi", true}});
  const Type type = decoding.take_type();
  const auto handler_of = [&]<typename T>() -> Handler {
    return high ? lanes<numeric::mul24_hi<T>> : lanes<numeric::mul24_lo<T>>;
  };
  Handler handler = nullptr;
  if (type == Type::kU32) handler = handler_of.operator()<uint32_t>();
  if (type == Type::kS32) handler = handler_of.operator()<int32_t>();
  decoding.bind(handler, type, {type, type});
}

void decode_mad24(Decoding& decoding) {
  const bool high = decoding.require_one<bool>({{"lo", false}, {"hi", true}});
  const bool saturate = decoding.take("sat");
  const Type type = decoding.take_type();
  const auto handler_of = [&]<typename T>() -> Handler {
    return high ? lanes<numeric::mad24_hi<T>> : lanes<numeric::mad24_lo<T>>;
  };
  Handler handler = nullptr;
  if (saturate) {
    if (high && type == Type::kS32) handler = lanes<numeric::mad24_hi_saturated>;
  } else if (type == Type::kU32) {
    handler = handler_of.operator()<uint32_t>();
  } else if (type == Type::kS32) {
    handler = handler_of.operator()<int32_t>();
  }
  decoding.bind(handler, type, {type, type, type});
}

void decode_sad(Decoding& decoding) {
  const Type type = decoding.take_type();
  decoding.bind(for_integer(type, []<typename T>() { return lanes<numeric::sad<T>>; }), type,
                {type, type, type});
}

void decode_integer_div(Decoding& decoding) {
  const Type type = decoding.take_type();
  decoding.bind(for_integer(type, []<typename T>() { return lanes<divide<T>>; }), type,
                {type, type});
}

void decode_rem(Decoding& decoding) {
  const Type type = decoding.take_type();
  decoding.bind(for_integer(type, []<typename T>() { return lanes<remainder<T>>; }), type,
                {type, type});
}

void decode_integer_neg(Decoding& decoding) {
  const Type type = decoding.take_type();
  Handler handler = nullptr;
  if (is_signed(type)) handler = for_width(type, []<typename T>() { return lanes<negate<T>>; });
  decoding.bind(handler, type, {type});
}

void decode_integer_abs(Decoding& decoding) {
  const Type type = decoding.take_type();
  Handler handler = nullptr;
  if (is_signed(type)) {
    handler = for_integer(type, []<typename T>() {
      return lanes<[](T a) -> T {
        using U = std::make_unsigned_t<T>;
        return static_cast<T>(a < 0 ? static_cast<U>(0 - static_cast<U>(a)) : static_cast<U>(a));
      }>;
    });
  }
  decoding.bind(handler, type, {type});
}

template <template <typename> typename Choice>
Handler min_max_handler(Type type, bool with_relu) {
  if (with_relu) {
    if (type == Type::kS32) return lanes<relu_of<int32_t, Choice<int32_t>{}>>;
    if (type == Type::kS16x2) {
      return lanes<both_halves<int16_t, relu_of<int16_t, Choice<int16_t>{}>>>;
    }
    return nullptr;
  }
  if (type == Type::kS16x2) return lanes<both_halves<int16_t, Choice<int16_t>{}>>;
  if (type == Type::kU16x2) return lanes<both_halves<uint16_t, Choice<uint16_t>{}>>;
  return for_integer(type, []<typename T>() { return lanes<Choice<T>{}>; });
}

template <template <typename> typename Choice>
void decode_integer_min_max(Decoding& decoding) {
  const bool with_relu = decoding.take("relu");
  const Type type = decoding.take_type();
  decoding.bind(min_max_handler<Choice>(type, with_relu), type, {type, type});
}

void decode_dp4a(Decoding& decoding) {
  const Type a = decoding.take_type(), b = decoding.take_type();
  const auto handler_of = []<bool a_signed, bool b_signed>() {
    return lanes<[](uint32_t x, uint32_t y, uint32_t c) {
      return numeric::dp4a(x, a_signed, y, b_signed, c);
    }>;
  };
  decoding.bind(dot_handler(a, b, handler_of), Type::kB32, {Type::kB32, Type::kB32, Type::kB32});
}

void decode_dp2a(Decoding& decoding) {
  const bool high = decoding.require_one<bool>({{"lo", false}, {"hi", true}});
  const Type a = decoding.take_type(), b = decoding.take_type();
  const auto handler_of = [&]<bool a_signed, bool b_signed>() {
    const auto part = []<bool upper>() {
      return lanes<[](uint32_t x, uint32_t y, uint32_t c) {
        return numeric::dp2a(x, a_signed, y, b_signed, c, upper);
      }>;
    };
    return high ? part.template operator()<true>() : part.template operator()<false>();
  };
  decoding.bind(dot_handler(a, b, handler_of), Type::kB32, {Type::kB32, Type::kB32, Type::kB32});
}

void decode_szext(Decoding& decoding) {
  const bool clamp = decoding.require_one<bool>({{"clamp", true}, {"wrap", false}});
  const Type type = decoding.take_type();
  const auto handler_of = [&]<typename T>() -> Handler {
    if (clamp) return lanes<[](T a, uint32_t b) { return numeric::szext(a, b, true); }>;
    return lanes<[](T a, uint32_t b) { return numeric::szext(a, b, false); }>;
  };
  Handler handler = nullptr;
  if (type == Type::kU32) handler = handler_of.operator()<uint32_t>();
  if (type == Type::kS32) handler = handler_of.operator()<int32_t>();
  decoding.bind(handler, type, {type, Type::kU32});
}

constexpr DecoderEntry kEntries[] = {
    {"add", decoder<by_type<decode_integer_add, decode_float_add>>},
    {"sub", decoder<by_type<decode_integer_sub, decode_float_sub>>},
    {"mul", decoder<by_type<decode_integer_mul, decode_float_mul>>},
    {"mad", decoder<by_type<decode_integer_mad, decode_float_fma>>},
    {"div", decoder<by_type<decode_integer_div, decode_float_div>>},
    {"abs", decoder<by_type<decode_integer_abs, decode_float_abs>>},
    {"neg", decoder<by_type<decode_integer_neg, decode_float_neg>>},
    {"min", decoder<by_type<decode_integer_min_max<Least>, decode_float_min>>},
    {"max", decoder<by_type<decode_integer_min_max<Greatest>, decode_float_max>>},
    {"rem", decoder<decode_rem>},
    {"mul24", decoder<decode_mul24>},
    {"mad24", decoder<decode_mad24>},
    {"sad", decoder<decode_sad>},
    {"dp4a", decoder<decode_dp4a>},
    {"dp2a", decoder<decode_dp2a>},
    {"szext", decoder<decode_szext>},
    {"addc", decoder<decode_add_carry>},
    {"subc", decoder<decode_sub_carry>},
    {"madc", decoder<decode_mad_carry>},
    {"and", decoder<decode_and>},
    {"or", decoder<decode_or>},
    {"xor", decoder<decode_xor>},
    {"not", decoder<decode_not>},
    {"cnot", decoder<decode_cnot>},
    {"lop3", decoder<decode_lop3>},
    {"shl", decoder<decode_shl>},
    {"shr", decoder<decode_shr>},
    {"shf", decoder<decode_shf>},
    {"prmt", decoder<decode_prmt>},
    {"popc", decoder<decode_popc>},
    {"clz", decoder<decode_clz>},
    {"brev", decoder<decode_brev>},
    {"bfind", decoder<decode_bfind>},
    {"bfe", decoder<decode_bfe>},
    {"bfi", decoder<decode_bfi>},
    {"bmsk", decoder<decode_bmsk>},
    {"fns", decoder<decode_fns>},
    {"setp", decoder<decode_setp>},
    {"set", decoder<decode_set>},
    {"selp", decoder<decode_selp>},
    {"slct", decoder<decode_slct>},
    {"mov", decoder<decode_mov>},
    {"cvta", decoder<decode_cvta>},
    {"isspacep", decoder<decode_isspacep>},
};

}  // namespace

std::span<const DecoderEntry> integer_decoders() {
  return kEntries;
}

}  // namespace emulator
