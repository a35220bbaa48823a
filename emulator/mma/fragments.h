// Where the elements of an instruction's matrices lie in the registers of a warp (PTX ISA, "Matrix
// Fragments for mma" and "for sparse mma").
//
// All fragments but one follow one rule. Lane = 4 * group + member, eight groups, four members.
// With E elements in a 32-bit register, a register of A is a tile of 8 rows by 4 * E columns, and
// of B one of 8 columns by 4 * E rows: the group picks the row (of B: the column), the member a run
// of E neighbours along K, lowest bits first. So the register, read as a stream of elements in lane
// order, is the tile in K-contiguous order.
//
//   A: registers go down the rows first (16-row shapes have two to a tile column), then along K
//   B: registers go along K
//   C and D: tiles of 8 rows by 8 columns, each lane holding two neighbours of a row: in one
//      register (f16) or in two (f32, s32), tiles going down the rows
//   sparse A: as A, but columns count stored elements only
#pragma once

#include <cstdint>

#include "mma/mma.h"

namespace emulator::mma {

inline constexpr int kLanes = 32;
inline constexpr int kLanesPerQuad = 4;
inline constexpr int kTile = 8;  // rows of A, columns of B and of C in one register
inline constexpr int kBitsPerRegister = 32 * kLanes;  // over the whole warp
inline constexpr int kBitsPerNibble = 4;
inline constexpr int kNibblesPerWord = 8;

constexpr int bits_of(Element element) {
  switch (element) {
    case Element::kF64:
      return 64;
    case Element::kTF32:
      return 32;
    case Element::kF16:
    case Element::kBF16:
      return 16;
    case Element::kS8:
    case Element::kU8:
    case Element::kE4M3:
    case Element::kE5M2:
      return 8;
    case Element::kS4:
    case Element::kU4:
      return 4;
    case Element::kB1:
      return 1;
  }
  return 0;
}

constexpr int bits_of(Accumulator accumulator) {
  switch (accumulator) {
    case Accumulator::kF64:
      return 64;
    case Accumulator::kF16:
      return 16;
    default:
      return 32;
  }
}

// An f64 counts as one register here; it takes two words.
constexpr int elements_per_register(Element element) {
  return element == Element::kF64 ? 1 : 32 / bits_of(element);
}

struct Position {
  int row, column;
  bool operator==(const Position&) const = default;
};

// Element `index` (from the lowest bits) of register `reg` of lane `lane`. For sparse A, columns
// count stored elements.
constexpr Position position_in_a(Element element, int num_rows, int lane, int reg, int index) {
  const int per_register = elements_per_register(element);
  const int tile_rows = num_rows / kTile;
  return {reg % tile_rows * kTile + lane / kLanesPerQuad,
          (reg / tile_rows * kLanesPerQuad + lane % kLanesPerQuad) * per_register + index};
}

constexpr Position position_in_b(Element element, int lane, int reg, int index) {
  const int per_register = elements_per_register(element);
  return {(reg * kLanesPerQuad + lane % kLanesPerQuad) * per_register + index,
          lane / kLanesPerQuad};
}

// `index` counts a lane's accumulators whatever registers they are in.
constexpr Position position_in_c(int lane, int index) {
  return {index / 2 * kTile + lane / kLanesPerQuad, lane % kLanesPerQuad * 2 + index % 2};
}

// Sparse A: a group of `group_size` neighbours in a row keeps half of them, told by one nibble of
// metadata. One 2-bit index names `unit` neighbours (pairs for 4-bit types). tf32 keeps one of two.
constexpr int group_size(Element a) {
  switch (bits_of(a)) {
    case 32:
      return 2;
    case 4:
      return 8;
    default:
      return 4;
  }
}

// Columns of A as the registers hold it.
constexpr int stored_k(const Description& description) {
  return description.sparse ? description.shape.k / 2 : description.shape.k;
}

// Where the nibble of a group is: a lane's word holds the nibbles of 8 groups, either 4 of row q
// and the same 4 of row q + 8 (16-bit types and tf32) or 8 of one row (8- and 4-bit types).
struct NibblePosition {
  int lane, bit;
  bool operator==(const NibblePosition&) const = default;
};

constexpr bool word_serves_two_rows(Element a) {
  return bits_of(a) >= 16;
}

// How many lanes of each quad supply metadata.
constexpr int metadata_lanes_per_quad(const Description& description) {
  return 2 * (description.shape.k / group_size(description.a)) / kNibblesPerWord;
}

constexpr int num_selectors(const Description& description) {
  return kLanesPerQuad / metadata_lanes_per_quad(description);
}

constexpr NibblePosition nibble_position(const Description& description, int row, int group) {
  const int first =
      row % kTile * kLanesPerQuad + description.selector * metadata_lanes_per_quad(description);
  const int upper = row / kTile;
  if (word_serves_two_rows(description.a)) {
    constexpr int kRun = kNibblesPerWord / 2;
    return {first + group / kRun, kBitsPerNibble * (kRun * upper + group % kRun)};
  }
  return {first + group / kNibblesPerWord * 2 + upper, kBitsPerNibble * (group % kNibblesPerWord)};
}

}  // namespace emulator::mma
