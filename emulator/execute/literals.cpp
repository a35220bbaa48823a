#include "execute/literals.h"

#include <bit>

namespace emulator {
namespace {

double as_double(const ptx::Operand& immediate) {
  if (immediate.literal == ptx::Literal::kFloat64Bits) {
    return std::bit_cast<double>(immediate.value);
  }
  return double{std::bit_cast<float>(static_cast<uint32_t>(immediate.value))};
}

}  // namespace

std::optional<uint64_t> literal_bits(const ptx::Operand& immediate, ptx::Type type) {
  const bool is_integer =
      immediate.literal == ptx::Literal::kInteger || immediate.literal == ptx::Literal::kUnsigned;
  const uint64_t raw = static_cast<uint64_t>(immediate.value);
  switch (type) {
    case ptx::Type::kPred:
      return is_integer ? std::optional(uint64_t{raw != 0 ? 0xFFFFFFFFu : 0u}) : std::nullopt;
    case ptx::Type::kF32:
      if (is_integer) return std::nullopt;
      // Bits pass through unchanged: a conversion would quieten a signalling nan.
      if (immediate.literal == ptx::Literal::kFloat32Bits) return static_cast<uint32_t>(raw);
      return std::bit_cast<uint32_t>(static_cast<float>(as_double(immediate)));
    case ptx::Type::kF64:
      if (is_integer) return std::nullopt;
      if (immediate.literal == ptx::Literal::kFloat64Bits) return raw;
      return std::bit_cast<uint64_t>(as_double(immediate));
    default:
      break;
  }
  // In a bit-size type of its width, a float literal stands for its bits.
  const int width = ptx::bits_of(type);
  const int literal_width = immediate.literal == ptx::Literal::kFloat32Bits ? 32 : 64;
  if (width == 0 || width > 64 || (!is_integer && width != literal_width)) return std::nullopt;
  return width == 64 ? raw : raw & ((uint64_t{1} << width) - 1);
}

}  // namespace emulator
