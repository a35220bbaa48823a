// f32 and f64 arithmetic.
#include "execute/decoder.h"
#include "execute/decoding.h"
#include "execute/lanes.h"
#include "execute/register_ops.h"
#include "numeric/approx.h"
#include "numeric/rounding.h"

namespace emulator {
namespace {

using numeric::Rounding;
using ptx::Type;

std::optional<Rounding> take_rounding(Decoding& decoding) {
  return decoding.take_one<Rounding>({{"rn", Rounding::kNearest},
                                      {"rz", Rounding::kZero},
                                      {"rm", Rounding::kDown},
                                      {"rp", Rounding::kUp}});
}

template <bool ftz>
float flush_if(float value) {
  return ftz ? numeric::flush(value) : value;
}

// f between what .ftz and .sat do.
template <auto f, bool ftz, bool saturate, typename... S>
constexpr auto adjusted = [](S... values) {
  const float result = flush_if<ftz>(f(flush_if<ftz>(values)...));
  return saturate ? numeric::saturate(result) : result;
};

// The last parameter, f itself, says what S is.
template <auto f, typename... S>
Handler adjusted_handler(bool ftz, bool saturate, float (*)(S...)) {
  if (ftz) {
    return saturate ? lanes<adjusted<f, true, true, S...>> : lanes<adjusted<f, true, false, S...>>;
  }
  return saturate ? lanes<adjusted<f, false, true, S...>> : lanes<adjusted<f, false, false, S...>>;
}

struct Modifiers {
  Type type;
  bool ftz;
  bool saturate;
};

// FunctionOf::operator()<R, F>() is the instruction as a function on F, float or double, rounded by
// R.
template <typename FunctionOf, Rounding R>
Handler rounded_handler(const Modifiers& modifiers) {
  if (modifiers.type == Type::kF32) {
    constexpr auto f = FunctionOf{}.template operator()<R, float>();
    return adjusted_handler<f>(modifiers.ftz, modifiers.saturate, +f);
  }
  if (modifiers.type == Type::kF64 && !modifiers.ftz && !modifiers.saturate) {
    return lanes<FunctionOf{}.template operator()<R, double>()>;
  }
  return nullptr;
}

template <typename FunctionOf>
Handler rounded_handler(Rounding rounding, const Modifiers& modifiers) {
  switch (rounding) {
    case Rounding::kNearest:
      return rounded_handler<FunctionOf, Rounding::kNearest>(modifiers);
    case Rounding::kZero:
      return rounded_handler<FunctionOf, Rounding::kZero>(modifiers);
    case Rounding::kDown:
      return rounded_handler<FunctionOf, Rounding::kDown>(modifiers);
    case Rounding::kUp:
      return rounded_handler<FunctionOf, Rounding::kUp>(modifiers);
    default:
      return nullptr;
  }
}

bool is_16_bit_format(Type type) {
  return type == Type::kF16 || type == Type::kF16x2 || type == Type::kBF16 || type == Type::kBF16x2;
}

enum class IfUnrounded : uint8_t { kNearest, kRefuse };

template <typename FunctionOf>
void decode_rounded(Decoding& decoding, std::initializer_list<Type> sources, IfUnrounded otherwise,
                    FunctionOf) {
  const std::optional<Rounding> rounding = take_rounding(decoding);
  if (!rounding && otherwise == IfUnrounded::kRefuse) decoding.refuse("lacks a rounding modifier");
  Modifiers modifiers;
  modifiers.ftz = decoding.take("ftz");
  modifiers.saturate = decoding.take("sat");
  modifiers.type = decoding.take_type();
  decoding.bind(rounded_handler<FunctionOf>(rounding.value_or(Rounding::kNearest), modifiers),
                modifiers.type, sources);
}

// f is the instruction on f32 without .ftz.
template <auto f>
Handler flushing_handler(bool ftz) {
  return adjusted_handler<f>(ftz, false, +f);
}

template <auto on_float, auto on_double>
void decode_sign(Decoding& decoding) {
  const Type type = decoding.last_type();
  if (is_16_bit_format(type)) return decode_half_sign(decoding);
  const bool ftz = decoding.take("ftz");
  decoding.take_type();
  Handler handler = nullptr;
  if (type == Type::kF32) handler = flushing_handler<on_float>(ftz);
  if (type == Type::kF64 && !ftz) handler = lanes<on_double>;
  decoding.bind(handler, type, {type});
}

template <typename Function>
void decode_min_max(Decoding& decoding, Function) {
  const bool ftz = decoding.take("ftz"), nan = decoding.take("NaN");
  const bool xorsign = decoding.take("xorsign");
  if (xorsign && !decoding.take("abs")) decoding.refuse("xorsign without abs");
  const Type type = decoding.take_type();
  Handler handler = nullptr;
  if (type == Type::kF32) {
    const auto with = [&]<bool propagate, bool xor_signs>() {
      return flushing_handler<[](float a, float b) {
        return Function{}(a, b, numeric::MinMax{.nan = propagate, .xorsign_abs = xor_signs});
      }>(ftz);
    };
    handler = nan ? (xorsign ? with.template operator()<true, true>()
                             : with.template operator()<true, false>())
                  : (xorsign ? with.template operator()<false, true>()
                             : with.template operator()<false, false>());
  } else if (type == Type::kF64 && !ftz && !nan && !xorsign) {
    handler = lanes<[](double a, double b) { return Function{}(a, b, numeric::MinMax{}); }>;
  }
  decoding.bind(handler, type, {type, type});
}

// The f32 form of an .approx instruction; its .approx is taken already.
template <auto f>
void bind_approx(Decoding& decoding) {
  const bool ftz = decoding.take("ftz");
  const Type type = decoding.take_type();
  decoding.bind(type == Type::kF32 ? flushing_handler<f>(ftz) : nullptr, type, {type});
}

void require_approx(Decoding& decoding) {
  if (!decoding.take("approx")) decoding.refuse("lacks .approx");
}

void decode_rcp(Decoding& decoding) {
  const Type type = decoding.last_type();
  if (!decoding.take("approx")) {
    return decode_rounded(decoding, {type}, IfUnrounded::kRefuse, []<Rounding R, typename F>() {
      return [](F a) { return numeric::rcp<R>(a); };
    });
  }
  if (type != Type::kF64) return bind_approx<numeric::rcp_approx>(decoding);
  if (!decoding.take("ftz")) decoding.refuse("lacks .ftz");
  decoding.take_type();
  decoding.bind(lanes<numeric::rcp_approx_ftz>, type, {type});
}

void decode_sqrt(Decoding& decoding) {
  const Type type = decoding.last_type();
  if (decoding.take("approx")) return bind_approx<numeric::sqrt_approx>(decoding);
  decode_rounded(decoding, {type}, IfUnrounded::kRefuse,
                 []<Rounding R, typename F>() { return [](F a) { return numeric::sqrt<R>(a); }; });
}

constexpr auto rsqrt_float = [](float a) { return numeric::rsqrt_approx(a); };
constexpr auto rsqrt_double = [](double a) { return numeric::rsqrt_approx(a); };

void decode_rsqrt(Decoding& decoding) {
  require_approx(decoding);
  if (decoding.last_type() != Type::kF64) return bind_approx<rsqrt_float>(decoding);
  const bool ftz = decoding.take("ftz");
  const Type type = decoding.take_type();
  decoding.bind(ftz ? lanes<numeric::rsqrt_approx_ftz> : lanes<rsqrt_double>, type, {type});
}

template <auto f>
void decode_approx(Decoding& decoding) {
  require_approx(decoding);
  bind_approx<f>(decoding);
}

template <auto on_float, void (*decode_half)(Decoding&)>
void decode_approx_or_half(Decoding& decoding) {
  if (is_16_bit_format(decoding.last_type())) return decode_half(decoding);
  decode_approx<on_float>(decoding);
}

void decode_copysign(Decoding& decoding) {
  const Type type = decoding.take_type();
  Handler handler = nullptr;
  if (type == Type::kF32) handler = lanes<numeric::copysign_of<float>>;
  if (type == Type::kF64) handler = lanes<numeric::copysign_of<double>>;
  decoding.bind(handler, type, {type, type});
}

constexpr DecoderEntry kEntries[] = {
    {"fma", decoder<decode_float_fma>},
    {"rcp", decoder<decode_rcp>},
    {"sqrt", decoder<decode_sqrt>},
    {"rsqrt", decoder<decode_rsqrt>},
    {"sin", decoder<decode_approx<numeric::sin_approx>>},
    {"cos", decoder<decode_approx<numeric::cos_approx>>},
    {"lg2", decoder<decode_approx<numeric::lg2>>},
    {"ex2", decoder<decode_approx_or_half<numeric::ex2, decode_half_ex2>>},
    {"tanh", decoder<decode_approx_or_half<numeric::tanh_approx, decode_half_tanh>>},
    {"copysign", decoder<decode_copysign>},
    {"testp", decoder<decode_testp>},
};

}  // namespace

void decode_float_add(Decoding& decoding) {
  const Type type = decoding.last_type();
  if (is_16_bit_format(type)) return decode_half_arithmetic(decoding);
  decode_rounded(decoding, {type, type}, IfUnrounded::kNearest, []<Rounding R, typename F>() {
    return [](F a, F b) { return numeric::add<R>(a, b); };
  });
}

void decode_float_sub(Decoding& decoding) {
  const Type type = decoding.last_type();
  if (is_16_bit_format(type)) return decode_half_arithmetic(decoding);
  decode_rounded(decoding, {type, type}, IfUnrounded::kNearest, []<Rounding R, typename F>() {
    return [](F a, F b) { return numeric::sub<R>(a, b); };
  });
}

void decode_float_mul(Decoding& decoding) {
  const Type type = decoding.last_type();
  if (is_16_bit_format(type)) return decode_half_arithmetic(decoding);
  decode_rounded(decoding, {type, type}, IfUnrounded::kNearest, []<Rounding R, typename F>() {
    return [](F a, F b) { return numeric::mul<R>(a, b); };
  });
}

void decode_float_fma(Decoding& decoding) {
  const Type type = decoding.last_type();
  if (is_16_bit_format(type)) return decode_half_arithmetic(decoding);
  decode_rounded(decoding, {type, type, type}, IfUnrounded::kRefuse, []<Rounding R, typename F>() {
    return [](F a, F b, F c) { return numeric::fma<R>(a, b, c); };
  });
}

void decode_float_div(Decoding& decoding) {
  const Type type = decoding.last_type();
  const bool approx = decoding.take("approx");
  if (approx || decoding.take("full")) {
    const bool ftz = decoding.take("ftz");
    decoding.take_type();
    const Handler handler = approx ? flushing_handler<numeric::div_approx>(ftz)
                                   : flushing_handler<numeric::div_full>(ftz);
    return decoding.bind(type == Type::kF32 ? handler : nullptr, type, {type, type});
  }
  decode_rounded(decoding, {type, type}, IfUnrounded::kRefuse, []<Rounding R, typename F>() {
    return [](F a, F b) { return numeric::div<R>(a, b); };
  });
}

void decode_float_abs(Decoding& decoding) {
  decode_sign<numeric::absolute<float>, numeric::absolute<double>>(decoding);
}

void decode_float_neg(Decoding& decoding) {
  decode_sign<numeric::negate<float>, numeric::negate<double>>(decoding);
}

void decode_float_min(Decoding& decoding) {
  if (is_16_bit_format(decoding.last_type())) return decode_half_min(decoding);
  decode_min_max(decoding, [](auto a, auto b, numeric::MinMax modifiers) {
    return numeric::minimum(a, b, modifiers);
  });
}

void decode_float_max(Decoding& decoding) {
  if (is_16_bit_format(decoding.last_type())) return decode_half_max(decoding);
  decode_min_max(decoding, [](auto a, auto b, numeric::MinMax modifiers) {
    return numeric::maximum(a, b, modifiers);
  });
}

std::span<const DecoderEntry> float_decoders() {
  return kEntries;
}

}  // namespace emulator
