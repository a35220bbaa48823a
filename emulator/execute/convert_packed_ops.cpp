// cvt to and from pairs: f16x2, bf16x2, e4m3x2, e5m2x2. The first source is the upper half.
#include "execute/convert_ops.h"
#include "execute/lanes.h"
#include "numeric/float16.h"
#include "numeric/float8.h"

namespace emulator {
namespace {

using numeric::BF16;
using numeric::F16;
using numeric::Rounding;
using ptx::Type;

enum Flag : uint32_t { kRelu = 1, kSatfinite = 2 };

template <typename Format, Rounding R>
uint16_t to_half(const Op& op, float value) {
  uint16_t result = numeric::from_float<Format, R>(value);
  if (op.flags & kSatfinite) result = numeric::satfinite<Format>(result);
  if (op.flags & kRelu) result = numeric::relu<Format>(result);
  return result;
}

template <typename Format, Rounding R>
uint32_t to_halves(const Op& op, float upper, float lower) {
  return numeric::pack(to_half<Format, R>(op, upper), to_half<Format, R>(op, lower));
}

template <typename Format>
Handler halves_handler(Rounding rounding) {
  if (rounding == Rounding::kNearest) return lanes<to_halves<Format, Rounding::kNearest>>;
  if (rounding == Rounding::kZero) return lanes<to_halves<Format, Rounding::kZero>>;
  return nullptr;
}

template <typename Format>
uint16_t to_bytes(const Op& op, float upper, float lower) {
  return numeric::pack8<Format>(upper, lower, op.flags & kRelu);
}

template <typename Format>
uint16_t halves_to_bytes(const Op& op, uint32_t halves) {
  return numeric::pack8_from_halves<Format>(halves, op.flags & kRelu);
}

template <typename Format>
uint32_t bytes_to_halves(const Op& op, uint16_t bytes) {
  return numeric::unpack8<Format>(bytes, op.flags & kRelu);
}

template <typename Format>
void decode_to_bytes(Decoding& decoding, Type from) {
  if (!(decoding.op.flags & kSatfinite)) decoding.refuse("lacks .satfinite");
  if (from == Type::kF32) {
    decoding.bind(lanes<to_bytes<Format>>, Type::kB16, {Type::kF32, Type::kF32});
  } else if (from == Type::kF16x2) {
    decoding.bind(lanes<halves_to_bytes<Format>>, Type::kB16, {Type::kB32});
  }
}

}  // namespace

void decode_packed_cvt(Decoding& decoding, const ConvertModifiers& modifiers) {
  const auto [to, from] = modifiers.types;
  if (!modifiers.rounding || modifiers.integral || modifiers.ftz || modifiers.saturate) {
    decoding.refuse("no such combination of modifiers");
  }
  decoding.op.flags = (modifiers.relu ? kRelu : 0u) | (modifiers.satfinite ? kSatfinite : 0u);
  if (from == Type::kF32 && (to == Type::kF16x2 || to == Type::kBF16x2)) {
    const Handler handler = to == Type::kF16x2 ? halves_handler<F16>(*modifiers.rounding)
                                               : halves_handler<BF16>(*modifiers.rounding);
    return decoding.bind(handler, Type::kB32, {Type::kF32, Type::kF32});
  }
  if (*modifiers.rounding != Rounding::kNearest) decoding.refuse("rounding modifier");
  if (to == Type::kE4M3x2) return decode_to_bytes<numeric::E4M3>(decoding, from);
  if (to == Type::kE5M2x2) return decode_to_bytes<numeric::E5M2>(decoding, from);
  if (to != Type::kF16x2 || modifiers.satfinite) return;
  if (from == Type::kE4M3x2) {
    decoding.bind(lanes<bytes_to_halves<numeric::E4M3>>, Type::kB32, {Type::kB16});
  } else if (from == Type::kE5M2x2) {
    decoding.bind(lanes<bytes_to_halves<numeric::E5M2>>, Type::kB32, {Type::kB16});
  }
}

}  // namespace emulator
