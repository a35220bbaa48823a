// Integer instructions that are more than one operator of C++. Arithmetic wraps unless the name
// says otherwise; Int is any of PTX's integer types, UInt an unsigned one.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "numeric/convert.h"

namespace emulator::numeric {

namespace detail {

__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 UInt128;

template <class Int>
inline constexpr int kBitsOf = 8 * sizeof(Int);

// Holds any product of two Int.
template <class Int>
using Product =
    std::conditional_t<sizeof(Int) == 8, std::conditional_t<std::is_signed_v<Int>, Int128, UInt128>,
                       std::conditional_t<std::is_signed_v<Int>, int64_t, uint64_t>>;

template <class Int>
constexpr Int wrap_add(Int a, Int b) {
  using Unsigned = std::make_unsigned_t<Int>;
  return static_cast<Int>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
}

// The 24 low bits, with sign or zero extended.
template <class Int>
constexpr int64_t low24(Int value) {
  constexpr int kUnused = 8;
  return static_cast<Int>(static_cast<uint32_t>(value) << kUnused) >> kUnused;
}

}  // namespace detail

template <class Int>
constexpr Int mul_hi(Int a, Int b) {
  return static_cast<Int>((detail::Product<Int>{a} * b) >> detail::kBitsOf<Int>);
}

template <class Int>
constexpr Int mad_hi(Int a, Int b, Int c) {
  return detail::wrap_add(mul_hi(a, b), c);
}

constexpr int32_t add_saturated(int32_t a, int32_t b) {
  return saturate_integer<int32_t>(int64_t{a} + b);
}

constexpr int32_t sub_saturated(int32_t a, int32_t b) {
  return saturate_integer<int32_t>(int64_t{a} - b);
}

// mad.hi.sat.s32
constexpr int32_t mad_hi_saturated(int32_t a, int32_t b, int32_t c) {
  return add_saturated(mul_hi(a, b), c);
}

// mul24 and mad24: Int is int32_t or uint32_t; .hi is bits 47..16 of the product.
template <class Int>
constexpr Int mul24_lo(Int a, Int b) {
  return static_cast<Int>(detail::low24(a) * detail::low24(b));
}

template <class Int>
constexpr Int mul24_hi(Int a, Int b) {
  return static_cast<Int>((detail::low24(a) * detail::low24(b)) >> 16);
}

template <class Int>
constexpr Int mad24_lo(Int a, Int b, Int c) {
  return detail::wrap_add(mul24_lo(a, b), c);
}

template <class Int>
constexpr Int mad24_hi(Int a, Int b, Int c) {
  return detail::wrap_add(mul24_hi(a, b), c);
}

constexpr int32_t mad24_hi_saturated(int32_t a, int32_t b, int32_t c) {
  return add_saturated(mul24_hi(a, b), c);
}

// c + |a - b|
template <class Int>
constexpr Int sad(Int a, Int b, Int c) {
  using Unsigned = std::make_unsigned_t<Int>;
  const auto x = static_cast<Unsigned>(a), y = static_cast<Unsigned>(b);
  const auto distance = static_cast<Unsigned>(a < b ? y - x : x - y);
  return static_cast<Int>(static_cast<Unsigned>(c) + distance);
}

// Bit field extract. Only the low byte of position and length counts.
template <class Int>
constexpr Int bfe(Int a, uint32_t position, uint32_t length) {
  constexpr int kBits = detail::kBitsOf<Int>;
  const int start = position & 0xff, count = length & 0xff;
  if (count == 0) return 0;
  if (start >= kBits) return std::is_signed_v<Int> && a < 0 ? static_cast<Int>(-1) : Int{0};
  const int kept = std::min(count, kBits - start);
  // A field that runs past the top is extended with the top bit, as the shift does.
  const auto top = static_cast<std::make_unsigned_t<Int>>(a) << (kBits - start - kept);
  return static_cast<Int>(static_cast<Int>(top) >> (kBits - kept));
}

// Bit field insert: the low bits of a into b.
template <class UInt>
constexpr UInt bfi(UInt a, UInt b, uint32_t position, uint32_t length) {
  constexpr int kBits = detail::kBitsOf<UInt>;
  const int start = position & 0xff, count = length & 0xff;
  if (count == 0 || start >= kBits) return b;
  const UInt field = count >= kBits ? ~UInt{0} : (UInt{1} << count) - 1;
  return (b & ~(field << start)) | ((a & field) << start);
}

template <class UInt>
constexpr UInt brev(UInt value) {
  UInt reversed = 0;
  for (int i = 0; i < detail::kBitsOf<UInt>; ++i)
    reversed |= (value >> i & 1) << (detail::kBitsOf<UInt> - 1 - i);
  return reversed;
}

// Position of the highest bit that is not a sign bit, or the shift that brings it to the top.
template <class Int>
constexpr uint32_t bfind(Int a, bool shift_amount) {
  const auto bits = static_cast<std::make_unsigned_t<Int>>(std::is_signed_v<Int> && a < 0 ? ~a : a);
  if (bits == 0) return 0xffffffff;
  const int leading = std::countl_zero(bits);
  return static_cast<uint32_t>(shift_amount ? leading : detail::kBitsOf<Int> - 1 - leading);
}

// The |offset|-th set bit of mask from base on, upwards or downwards; 0xffffffff where there is
// none.
constexpr uint32_t fns(uint32_t mask, uint32_t base, int32_t offset) {
  constexpr uint32_t kNone = 0xffffffff;
  if (base > 31) return kNone;  // undefined by the ISA
  if (offset == 0) return mask >> base & 1 ? base : kNone;
  const int step = offset > 0 ? 1 : -1;
  int64_t left = offset > 0 ? int64_t{offset} : -int64_t{offset};
  for (int position = static_cast<int>(base); position >= 0 && position < 32; position += step) {
    if ((mask >> position & 1) && --left == 0) return static_cast<uint32_t>(position);
  }
  return kNone;
}

// `width` ones from bit `position` on.
constexpr uint32_t bmsk(uint32_t position, uint32_t width, bool clamp) {
  if (clamp) {
    position = std::min(position, 32u);
    width = std::min(width, 32u);
  } else {
    position &= 31;
    width &= 31;
  }
  return static_cast<uint32_t>(((uint64_t{1} << width) - 1) << position);
}

// The low `width` bits of a, extended. With .clamp a width of 32 or more keeps all of a.
template <class Int>
constexpr Int szext(Int a, uint32_t width, bool clamp) {
  if (clamp && width >= 32) return a;
  return bfe(a, 0, width & 31);
}

enum class PermuteMode : uint8_t { kGeneric, kF4E, kB4E, kRC8, kECL, kECR, kRC16 };

namespace detail {

// Selectors of the special modes by the low two bits of c, as prmt's generic form reads them.
inline constexpr uint16_t kPermuteSelectors[][4] = {
    {0x3210, 0x4321, 0x5432, 0x6543},  // f4e
    {0x5670, 0x6701, 0x7012, 0x0123},  // b4e
    {0x0000, 0x1111, 0x2222, 0x3333},  // rc8
    {0x3210, 0x3211, 0x3222, 0x3333},  // ecl
    {0x0000, 0x1110, 0x2210, 0x3210},  // ecr
    {0x1010, 0x3232, 0x1010, 0x3232},  // rc16
};

}  // namespace detail

// Four bytes out of the eight of {b, a}; bit 3 of a selector replicates the byte's sign.
constexpr uint32_t prmt(uint32_t a, uint32_t b, uint32_t c,
                        PermuteMode mode = PermuteMode::kGeneric) {
  if (mode != PermuteMode::kGeneric)
    c = detail::kPermuteSelectors[static_cast<int>(mode) - 1][c & 3];
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t selector = c >> (4 * i) & 0xf;
    uint32_t byte = static_cast<uint32_t>(bytes >> (8 * (selector & 7))) & 0xff;
    if (selector & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}

// Funnel shifts of {b, a}: .clamp limits the amount to 32, .wrap takes it modulo 32.
constexpr uint32_t shf_left(uint32_t a, uint32_t b, uint32_t c, bool clamp) {
  const uint32_t amount = clamp ? std::min(c, 32u) : c & 31;
  return static_cast<uint32_t>((uint64_t{b} << 32 | a) << amount >> 32);
}

constexpr uint32_t shf_right(uint32_t a, uint32_t b, uint32_t c, bool clamp) {
  const uint32_t amount = clamp ? std::min(c, 32u) : c & 31;
  return static_cast<uint32_t>((uint64_t{b} << 32 | a) >> amount);
}

// shl and shr: amounts beyond the width count as the width.
template <class UInt>
constexpr UInt shl(UInt a, uint32_t amount) {
  return amount >= detail::kBitsOf<UInt> ? UInt{0} : static_cast<UInt>(a << amount);
}

template <class Int>
constexpr Int shr(Int a, uint32_t amount) {
  if (amount >= detail::kBitsOf<Int>) return a < 0 ? static_cast<Int>(-1) : Int{0};
  return static_cast<Int>(a >> amount);
}

// Any bitwise function of three operands: bit (a << 2 | b << 1 | c) of the table.
template <class UInt>
constexpr UInt lop3(UInt a, UInt b, UInt c, uint8_t table) {
  UInt result = 0;
  for (int i = 0; i < 8; ++i) {
    if (table >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  }
  return result;
}

namespace detail {

// Field number `index` of `bits` bits, extended.
constexpr int32_t field(uint32_t word, int bits, int index, bool is_signed) {
  const auto position = static_cast<uint32_t>(bits * index), length = static_cast<uint32_t>(bits);
  return is_signed ? bfe(static_cast<int32_t>(word), position, length)
                   : static_cast<int32_t>(bfe(word, position, length));
}

}  // namespace detail

// c + the dot product of four bytes each
constexpr uint32_t dp4a(uint32_t a, bool a_signed, uint32_t b, bool b_signed, uint32_t c) {
  for (int i = 0; i < 4; ++i) {
    c += static_cast<uint32_t>(detail::field(a, 8, i, a_signed) * detail::field(b, 8, i, b_signed));
  }
  return c;
}

// c + the dot product of a's two halves and two bytes of b: the lower ones, or the upper
constexpr uint32_t dp2a(uint32_t a, bool a_signed, uint32_t b, bool b_signed, uint32_t c,
                        bool high) {
  for (int i = 0; i < 2; ++i) {
    const int byte = detail::field(b, 8, i + (high ? 2 : 0), b_signed);
    c += static_cast<uint32_t>(detail::field(a, 16, i, a_signed) * byte);
  }
  return c;
}

// A sum and its carry, or a difference and its borrow.
template <class UInt>
struct Carry {
  UInt value;
  bool carry;
};

template <class UInt>
constexpr Carry<UInt> add_carry(UInt a, UInt b, bool carry_in) {
  const UInt partial = a + b;
  const UInt sum = partial + carry_in;
  return {sum, partial < a || sum < partial};
}

template <class UInt>
constexpr Carry<UInt> sub_borrow(UInt a, UInt b, bool borrow_in) {
  const UInt partial = a - b;
  return {static_cast<UInt>(partial - borrow_in), a < b || partial < UInt{borrow_in}};
}

template <class UInt>
constexpr uint32_t popc(UInt value) {
  return static_cast<uint32_t>(std::popcount(value));
}

template <class UInt>
constexpr uint32_t clz(UInt value) {
  return static_cast<uint32_t>(std::countl_zero(value));
}

// add, min, max of .u16x2 and .s16x2: an operation on both halves.
template <class Int16, class Op>
constexpr uint32_t each_int16(Op op, uint32_t a, uint32_t b) {
  const auto half = [&](int shift) {
    const auto value = op(static_cast<Int16>(a >> shift), static_cast<Int16>(b >> shift));
    return uint32_t{static_cast<uint16_t>(value)} << shift;
  };
  return half(16) | half(0);
}

}  // namespace emulator::numeric
