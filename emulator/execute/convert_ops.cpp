// cvt: which of its many forms an instruction is. Floating point to floating point is here,
// integers are in convert_integer_ops.cpp, packed results in convert_packed_ops.cpp.
#include "execute/convert_ops.h"

#include "execute/decoder.h"
#include "execute/lanes.h"
#include "numeric/float16.h"
#include "numeric/rounding.h"
#include "numeric/tf32.h"

namespace emulator {
namespace {

using numeric::BF16;
using numeric::F16;
using numeric::Rounding;
using ptx::Type;

// Op::flags of a conversion between floating-point types.
enum Flag : uint32_t { kFlush = 1, kSaturate = 2, kRelu = 4, kSatfinite = 8, kIntegral = 16 };

// 16-bit formats are computed in f32, which holds their values exactly.
struct HalfFormat {
  using Stored = uint16_t;
  using Value = float;
};

template <typename Format>
struct Half : HalfFormat {
  static float read(uint16_t bits, uint32_t) { return numeric::to_float<Format>(bits); }
  template <Rounding R, typename V>
  static uint16_t write(V value, uint32_t flags) {
    const uint16_t rounded = [&] {
      if constexpr (sizeof(V) == 8) return numeric::from_double<Format, R>(value);
      return numeric::from_float<Format, R>(static_cast<float>(value));
    }();
    uint16_t result = rounded;
    if (flags & kSatfinite) result = numeric::satfinite<Format>(result);
    if (flags & kRelu) result = numeric::relu<Format>(result);
    if (flags & kSaturate) result = numeric::saturate16<Format>(result);
    return result;
  }
};

struct Float {
  using Stored = float;
  using Value = float;
  static float read(float value, uint32_t flags) {
    return flags & kFlush ? numeric::flush(value) : value;
  }
  template <Rounding R, typename V>
  static float write(V value, uint32_t flags) {
    const float narrowed = [&] {
      if constexpr (sizeof(V) == 8) return numeric::narrow<R>(value);
      return numeric::canonical(static_cast<float>(value));
    }();
    const float result = flags & kFlush ? numeric::flush(narrowed) : narrowed;
    return flags & kSaturate ? numeric::saturate(result) : result;
  }
};

struct Double {
  using Stored = double;
  using Value = double;
  static double read(double value, uint32_t) { return value; }
  template <Rounding, typename V>
  static double write(V value, uint32_t flags) {
    const auto result = static_cast<double>(value);
    return flags & kSaturate ? numeric::saturate(result) : result;
  }
};

template <typename To, typename From, Rounding R>
typename To::Stored convert(const Op& op, typename From::Stored stored) {
  typename From::Value value = From::read(stored, op.flags);
  if (op.flags & kIntegral) value = numeric::round_to_integral<R>(value);
  return To::template write<R>(value, op.flags);
}

template <typename To, typename From>
Handler handler_of(Rounding rounding) {
  switch (rounding) {
    case Rounding::kNearest:
      return lanes<convert<To, From, Rounding::kNearest>>;
    case Rounding::kZero:
      return lanes<convert<To, From, Rounding::kZero>>;
    case Rounding::kDown:
      return lanes<convert<To, From, Rounding::kDown>>;
    case Rounding::kUp:
      return lanes<convert<To, From, Rounding::kUp>>;
    default:
      return nullptr;
  }
}

template <typename To>
Handler handler_from(Type from, Rounding rounding) {
  switch (from) {
    case Type::kF16:
      return handler_of<To, Half<F16>>(rounding);
    case Type::kBF16:
      return handler_of<To, Half<BF16>>(rounding);
    case Type::kF32:
      return handler_of<To, Float>(rounding);
    case Type::kF64:
      return handler_of<To, Double>(rounding);
    default:
      return nullptr;
  }
}

Handler find_handler(Type to, Type from, Rounding rounding) {
  switch (to) {
    case Type::kF16:
      return handler_from<Half<F16>>(from, rounding);
    case Type::kBF16:
      return handler_from<Half<BF16>>(from, rounding);
    case Type::kF32:
      return handler_from<Float>(from, rounding);
    case Type::kF64:
      return handler_from<Double>(from, rounding);
    default:
      return nullptr;
  }
}

// A conversion that can lose bits: neither to a wider format nor to the same one.
bool narrows(Type to, Type from) {
  return to != from && ptx::bits_of(to) <= ptx::bits_of(from);
}

void decode_float_to_float(Decoding& decoding, const ConvertModifiers& modifiers) {
  const auto [to, from] = modifiers.types;
  const std::optional<Rounding> rounding =
      modifiers.integral ? modifiers.integral : modifiers.rounding;
  // The ISA wants .rn and its like exactly where bits can be lost, .rni and its like nowhere else.
  if (narrows(to, from) != modifiers.rounding.has_value()) decoding.refuse("rounding modifier");
  if (modifiers.integral && to != from) decoding.refuse("integer rounding of unlike types");
  const bool half_result = to == Type::kF16 || to == Type::kBF16;
  if ((modifiers.relu || modifiers.satfinite) && !(half_result && from == Type::kF32)) {
    decoding.refuse("no such combination of modifiers");
  }
  if (modifiers.ftz && to != Type::kF32 && from != Type::kF32) decoding.refuse(".ftz without f32");
  decoding.op.flags = (modifiers.ftz ? kFlush : 0u) | (modifiers.saturate ? kSaturate : 0u) |
                      (modifiers.relu ? kRelu : 0u) | (modifiers.satfinite ? kSatfinite : 0u) |
                      (modifiers.integral ? kIntegral : 0u);
  decoding.bind(find_handler(to, from, rounding.value_or(Rounding::kNearest)), to, {from});
}

template <Rounding R>
uint32_t to_tf32(const Op& op, float value) {
  return numeric::tf32_from_float<R>(value, op.flags & kRelu, op.flags & kSatfinite);
}

void decode_to_tf32(Decoding& decoding, const ConvertModifiers& modifiers) {
  if (modifiers.types.from != Type::kF32 || modifiers.ftz || modifiers.saturate ||
      modifiers.integral || !modifiers.rounding) {
    decoding.refuse("no such combination of modifiers");
  }
  decoding.op.flags = (modifiers.relu ? kRelu : 0u) | (modifiers.satfinite ? kSatfinite : 0u);
  Handler handler = nullptr;
  switch (*modifiers.rounding) {
    case Rounding::kNearestAway:
      if (!modifiers.relu) handler = lanes<to_tf32<Rounding::kNearestAway>>;
      break;
    case Rounding::kNearest:
      handler = lanes<to_tf32<Rounding::kNearest>>;
      break;
    case Rounding::kZero:
      handler = lanes<to_tf32<Rounding::kZero>>;
      break;
    default:
      break;
  }
  decoding.bind(handler, Type::kB32, {Type::kF32});
}

ConvertModifiers take_modifiers(Decoding& decoding) {
  ConvertModifiers modifiers;
  modifiers.integral = decoding.take_one<Rounding>({{"rni", Rounding::kNearest},
                                                    {"rzi", Rounding::kZero},
                                                    {"rmi", Rounding::kDown},
                                                    {"rpi", Rounding::kUp}});
  modifiers.rounding = decoding.take_one<Rounding>({{"rn", Rounding::kNearest},
                                                    {"rz", Rounding::kZero},
                                                    {"rm", Rounding::kDown},
                                                    {"rp", Rounding::kUp},
                                                    {"rna", Rounding::kNearestAway}});
  modifiers.ftz = decoding.take("ftz");
  modifiers.saturate = decoding.take("sat");
  modifiers.relu = decoding.take("relu");
  modifiers.satfinite = decoding.take("satfinite");
  modifiers.types.to = decoding.take_type();
  modifiers.types.from = decoding.take_type();
  return modifiers;
}

bool is_scalar_float(Type type) {
  return type == Type::kF16 || type == Type::kBF16 || type == Type::kF32 || type == Type::kF64;
}

void decode_cvt(Decoding& decoding) {
  if (decoding.take("pack")) return decode_cvt_pack(decoding);
  const ConvertModifiers modifiers = take_modifiers(decoding);
  const auto [to, from] = modifiers.types;
  if (to == Type::kTF32) return decode_to_tf32(decoding, modifiers);
  if (is_scalar_float(to) && is_scalar_float(from)) {
    return decode_float_to_float(decoding, modifiers);
  }
  if (is_integer(to) || is_integer(from)) return decode_integer_cvt(decoding, modifiers);
  decode_packed_cvt(decoding, modifiers);
}

constexpr DecoderEntry kEntries[] = {{"cvt", decoder<decode_cvt>}};

}  // namespace

std::span<const DecoderEntry> convert_decoders() {
  return kEntries;
}

}  // namespace emulator
