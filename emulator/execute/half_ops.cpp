// f16, bf16 and their packed forms. All round to nearest even.
#include "execute/decoding.h"
#include "execute/lanes.h"
#include "execute/register_ops.h"
#include "numeric/approx.h"
#include "numeric/arithmetic16.h"
#include "numeric/float16.h"

namespace emulator {
namespace {

using numeric::BF16;
using numeric::F16;
using ptx::Type;

// What is done to a result; the ISA allows one of them.
enum class After : uint8_t { kNothing, kSaturate, kRelu };

template <typename Format, bool ftz>
uint16_t flush_if(uint16_t bits) {
  return ftz ? numeric::flush16<Format>(bits) : bits;
}

template <typename Format, auto f, bool ftz, After after, typename... S>
constexpr auto adjusted = [](S... values) -> uint16_t {
  const uint16_t result = flush_if<Format, ftz>(f(flush_if<Format, ftz>(values)...));
  if (after == After::kSaturate) return numeric::saturate16<Format>(result);
  if (after == After::kRelu) return numeric::relu<Format>(result);
  return result;
};

// f on a 16-bit pattern, or on both halves of packed ones.
template <auto f, typename... S>
Handler scalar_or_packed(bool packed, uint16_t (*)(S...)) {
  if (!packed) return lanes<f>;
  return lanes<[](std::conditional_t<true, uint32_t, S>... words) {
    return numeric::each_half(f, words...);
  }>;
}

template <auto f>
Handler scalar_or_packed(bool packed) {
  return scalar_or_packed<f>(packed, +f);
}

template <typename Format, auto f, bool ftz, typename... S>
Handler adjusted_handler(bool packed, After after, uint16_t (*)(S...)) {
  switch (after) {
    case After::kNothing:
      return scalar_or_packed<adjusted<Format, f, ftz, After::kNothing, S...>>(packed);
    case After::kSaturate:
      return scalar_or_packed<adjusted<Format, f, ftz, After::kSaturate, S...>>(packed);
    case After::kRelu:
      return scalar_or_packed<adjusted<Format, f, ftz, After::kRelu, S...>>(packed);
  }
  return nullptr;
}

bool is_packed(Type type) {
  return type == Type::kF16x2 || type == Type::kBF16x2;
}
bool is_bf16(Type type) {
  return type == Type::kBF16 || type == Type::kBF16x2;
}

struct Modifiers {
  bool ftz;
  After after;
  Type type;
};

// bf16 has neither .ftz nor .sat.
template <auto on_f16, auto on_bf16>
Handler arithmetic_handler(const Modifiers& modifiers) {
  const bool packed = is_packed(modifiers.type);
  if (is_bf16(modifiers.type)) {
    if (modifiers.ftz || modifiers.after == After::kSaturate) return nullptr;
    return adjusted_handler<BF16, on_bf16, false>(packed, modifiers.after, +on_bf16);
  }
  return modifiers.ftz ? adjusted_handler<F16, on_f16, true>(packed, modifiers.after, +on_f16)
                       : adjusted_handler<F16, on_f16, false>(packed, modifiers.after, +on_f16);
}

template <bool nan, bool xorsign, bool ftz, typename Format, typename Function>
constexpr auto min_max = [](uint16_t a, uint16_t b) -> uint16_t {
  const uint16_t result = Function{}.template operator()<Format>(
      flush_if<Format, ftz>(a), flush_if<Format, ftz>(b), {.nan = nan, .xorsign_abs = xorsign});
  return flush_if<Format, ftz>(result);
};

template <typename Format, bool ftz, typename Function>
Handler min_max_handler(bool packed, bool nan, bool xorsign) {
  if (nan) {
    return xorsign ? scalar_or_packed<min_max<true, true, ftz, Format, Function>>(packed)
                   : scalar_or_packed<min_max<true, false, ftz, Format, Function>>(packed);
  }
  return xorsign ? scalar_or_packed<min_max<false, true, ftz, Format, Function>>(packed)
                 : scalar_or_packed<min_max<false, false, ftz, Format, Function>>(packed);
}

template <typename Function>
void decode_min_max(Decoding& decoding, Function) {
  const bool ftz = decoding.take("ftz"), nan = decoding.take("NaN");
  const bool xorsign = decoding.take("xorsign");
  if (xorsign && !decoding.take("abs")) decoding.refuse("xorsign without abs");
  const Type type = decoding.take_type();
  const bool packed = is_packed(type);
  Handler handler = nullptr;
  if (!is_bf16(type)) {
    handler = ftz ? min_max_handler<F16, true, Function>(packed, nan, xorsign)
                  : min_max_handler<F16, false, Function>(packed, nan, xorsign);
  } else if (!ftz) {
    handler = min_max_handler<BF16, false, Function>(packed, nan, xorsign);
  }
  decoding.bind(handler, type, {type, type});
}

}  // namespace

void decode_half_arithmetic(Decoding& decoding) {
  using namespace numeric;
  const bool rounds = decoding.take("rn");
  Modifiers modifiers;
  modifiers.ftz = decoding.take("ftz");
  modifiers.after = decoding.take_one<After>({{"sat", After::kSaturate}, {"relu", After::kRelu}})
                        .value_or(After::kNothing);
  modifiers.type = decoding.take_type();
  const Type type = modifiers.type;
  const std::string& opcode = decoding.instruction.opcode;
  if (opcode == "fma") {
    if (!rounds) decoding.refuse("lacks a rounding modifier");
    return decoding.bind(arithmetic_handler<fma16<F16>, fma16<BF16>>(modifiers), type,
                         {type, type, type});
  }
  if (modifiers.after == After::kRelu) decoding.refuse("only fma has .relu");
  Handler handler = nullptr;
  if (opcode == "add") handler = arithmetic_handler<add16<F16>, add16<BF16>>(modifiers);
  if (opcode == "sub") handler = arithmetic_handler<sub16<F16>, sub16<BF16>>(modifiers);
  if (opcode == "mul") handler = arithmetic_handler<mul16<F16>, mul16<BF16>>(modifiers);
  decoding.bind(handler, type, {type, type});
}

void decode_half_sign(Decoding& decoding) {
  using namespace numeric;
  Modifiers modifiers{decoding.take("ftz"), After::kNothing, decoding.take_type()};
  const Type type = modifiers.type;
  const Handler handler = decoding.instruction.opcode == "abs"
                              ? arithmetic_handler<absolute16<F16>, absolute16<BF16>>(modifiers)
                              : arithmetic_handler<negate16<F16>, negate16<BF16>>(modifiers);
  decoding.bind(handler, type, {type});
}

void decode_half_min(Decoding& decoding) {
  decode_min_max(decoding, []<typename Format>(uint16_t a, uint16_t b, numeric::MinMax modifiers) {
    return numeric::minimum16<Format>(a, b, modifiers);
  });
}

void decode_half_max(Decoding& decoding) {
  decode_min_max(decoding, []<typename Format>(uint16_t a, uint16_t b, numeric::MinMax modifiers) {
    return numeric::maximum16<Format>(a, b, modifiers);
  });
}

void decode_half_ex2(Decoding& decoding) {
  if (!decoding.take("approx")) decoding.refuse("lacks .approx");
  const bool ftz = decoding.take("ftz");  // always with bf16, never with f16
  const Type type = decoding.take_type();
  if (ftz != is_bf16(type)) decoding.refuse("no such combination of modifiers");
  decoding.bind(ftz ? scalar_or_packed<numeric::ex2_16<BF16>>(is_packed(type))
                    : scalar_or_packed<numeric::ex2_16<F16>>(is_packed(type)),
                type, {type});
}

void decode_half_tanh(Decoding& decoding) {
  if (!decoding.take("approx")) decoding.refuse("lacks .approx");
  const Type type = decoding.take_type();
  decoding.bind(is_bf16(type) ? scalar_or_packed<numeric::tanh_16<BF16>>(is_packed(type))
                              : scalar_or_packed<numeric::tanh_16<F16>>(is_packed(type)),
                type, {type});
}

}  // namespace emulator
