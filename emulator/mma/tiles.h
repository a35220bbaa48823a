// Registers of a warp to small dense arrays: see fragments.h for the rule that this file uses.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "mma/fragments.h"
#include "numeric/float16.h"
#include "numeric/float8.h"
#include "numeric/tf32.h"

namespace emulator::mma {

namespace detail {

template <class Format>
inline constexpr auto kTable8 = [] {
  std::array<float, 256> table{};
  for (int i = 0; i < 256; ++i) table[i] = numeric::to_float8<Format>(static_cast<uint8_t>(i));
  return table;
}();

}  // namespace detail

// One element out of the low bits of `raw`, whose other bits are zero.
template <Element E>
auto decode(uint32_t raw) {
  if constexpr (E == Element::kF16) return double{numeric::F16::widen(static_cast<uint16_t>(raw))};
  if constexpr (E == Element::kBF16)
    return double{numeric::BF16::widen(static_cast<uint16_t>(raw))};
  if constexpr (E == Element::kTF32) return double{numeric::tf32_to_float(raw)};
  if constexpr (E == Element::kE4M3) return double{detail::kTable8<numeric::E4M3>[raw]};
  if constexpr (E == Element::kE5M2) return double{detail::kTable8<numeric::E5M2>[raw]};
  if constexpr (E == Element::kU8 || E == Element::kU4) return static_cast<int32_t>(raw);
  if constexpr (E == Element::kS8) return static_cast<int32_t>(static_cast<int8_t>(raw));
  if constexpr (E == Element::kS4) return static_cast<int32_t>(raw ^ 8) - 8;
}

// double for floating-point elements, which it holds exactly, and int32_t for integers.
template <Element E>
using NumberOf = decltype(decode<E>(0));

// Row-major A of `columns` (stored) columns.
template <Element E>
void decode_a(int rows, int columns, int num_registers, const uint32_t* const* registers,
              NumberOf<E>* out) {
  constexpr int kPerWord = elements_per_register(E);
  constexpr uint32_t kMask = ~uint32_t{0} >> (32 - bits_of(E));
  const int tile_rows = rows / kTile;
  for (int reg = 0; reg < num_registers; ++reg) {
    NumberOf<E>* tile =
        out + reg % tile_rows * kTile * columns + reg / tile_rows * kLanesPerQuad * kPerWord;
    for (int row = 0; row < kTile; ++row) {
      const uint32_t* words = registers[reg] + row * kLanesPerQuad;
      for (int i = 0; i < kLanesPerQuad * kPerWord; ++i) {
        const uint32_t raw = words[i / kPerWord] >> (i % kPerWord * bits_of(E)) & kMask;
        tile[row * columns + i] = decode<E>(raw);
      }
    }
  }
}

// Row-major B: eight columns, so a row is what one step along K reads.
template <Element E>
void decode_b(int num_registers, const uint32_t* const* registers, NumberOf<E>* out) {
  constexpr int kPerWord = elements_per_register(E);
  constexpr uint32_t kMask = ~uint32_t{0} >> (32 - bits_of(E));
  for (int reg = 0; reg < num_registers; ++reg) {
    for (int member = 0; member < kLanesPerQuad; ++member) {
      uint32_t words[kTile];
      for (int column = 0; column < kTile; ++column) {
        words[column] = registers[reg][column * kLanesPerQuad + member];
      }
      for (int i = 0; i < kPerWord; ++i) {
        for (int column = 0; column < kTile; ++column) {
          out[column] = decode<E>(words[column] >> (i * bits_of(E)) & kMask);
        }
        out += kTile;
      }
    }
  }
}

// Eight neighbours in a row of B, C or D: what one step along K updates at once.
template <class Number>
struct RowOf {
  using Type [[gnu::vector_size(kTile * sizeof(Number))]] = Number;
};
template <class Number>
using Row = typename RowOf<Number>::Type;

template <class Number>
Row<Number> load_row(const Number* from) {
  Row<Number> row;
  std::memcpy(&row, from, sizeof row);
  return row;
}

template <class Number>
void store_row(Row<Number> row, Number* to) {
  std::memcpy(to, &row, sizeof row);
}

}  // namespace emulator::mma
