// Metadata orders: where the nibble of a group stands, in memory and in registers.
//
// Every order is a bijection of (row, group) onto positions, written as a pair of functions that
// undo each other. All of them hold arguments to be valid; nothing here allocates or includes CUDA,
// so that the host packs, the kernels read and the tests check with the same lines.
//
//   canonical        (row, group) <-> (byte, nibble) of the row-major array that users see
//   LaneOrder        (row, group) <-> (lane, bit) of the metadata operand of one instruction
//   CUTLASS sm80     (row, column) of a 16- or 32-bit word <-> its offset as PyTorch stores it
//
// docs/format.md draws them and says what each was checked against.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sparse_gemm::format {

inline constexpr int kBitsPerNibble = 4;

// ---------------------------------------------------------------------------------------------
// Canonical order: row-major, two groups a byte, the earlier group in the low nibble.
//
//   byte   = row * ceil(num_groups / 2) + group / 2
//   nibble = group % 2                               (0: bits 0..3, 1: bits 4..7)

struct RowGroup {
  int64_t row;
  int64_t group;
  constexpr bool operator==(const RowGroup&) const = default;
};

struct ByteNibble {
  int64_t byte;
  int nibble;
  constexpr bool operator==(const ByteNibble&) const = default;
};

constexpr ByteNibble canonical_position(int64_t num_groups, RowGroup at) {
  const int64_t row_bytes = (num_groups + 1) / 2;
  return {at.row * row_bytes + at.group / 2, static_cast<int>(at.group % 2)};
}

constexpr RowGroup canonical_group(int64_t num_groups, ByteNibble at) {
  const int64_t row_bytes = (num_groups + 1) / 2;
  return {at.byte / row_bytes, at.byte % row_bytes * 2 + at.nibble};
}

// ---------------------------------------------------------------------------------------------
// Lane order: the metadata operand of mma.sp (16 rows) and wgmma.sp (64 rows, 16 a warp).
//
// A quad is four neighbouring lanes; quad q of a warp serves rows q and q + 8 of the warp's 16. The
// nibbles of these two rows go to some or all lanes of the quad, eight to a 32-bit register. Either
// a register holds a run of 8 groups of one row, or a run of 4 groups of row q in its low half and
// the same 4 groups of row q + 8 in its high half. With
//
//   warp = row / 16,  quad = row % 8,  upper = (row / 8) % 2,
//   L = lanes of a quad that supply metadata = 2 * num_groups / 8   (1, 2 or 4),
//
//   lane = 32 * warp + 4 * quad + L * selector + (run 4: group / 4
//                                                 run 8: 2 * (group / 8) + upper)
//   bit  = run 4: 16 * upper + 4 * (group % 4)
//          run 8: 4 * (group % 8)
//
// The sparsity selector says which lanes of the quads the instruction reads: 4 / L values.

inline constexpr int kLanesPerWarp = 32;
inline constexpr int kLanesPerQuad = 4;
inline constexpr int kRowsPerWarp = 16;
inline constexpr int kRowsPerHalf = 8;  // rows q and q + 8 share quad q
inline constexpr int kNibblesPerRegister = 8;

struct LaneBit {
  int lane;  // in the warp, or for wgmma.sp in the warpgroup
  int bit;   // of the nibble's lowest bit in the lane's 32-bit register
  constexpr bool operator==(const LaneBit&) const = default;
};

struct LaneOrder {
  int rows;        // 16 for mma.sp, 64 for wgmma.sp
  int num_groups;  // groups in a row of the instruction's A
  int run;         // neighbouring groups of one row in one register: 4 or 8

  // Lanes of every quad that supply metadata.
  constexpr int lanes_per_quad() const { return 2 * num_groups / kNibblesPerRegister; }
  // Lanes of the warp or warpgroup that supply metadata.
  constexpr int num_lanes() const { return rows * num_groups / kNibblesPerRegister; }
  // The valid selectors are 0 to num_selectors() - 1.
  constexpr int num_selectors() const { return kLanesPerQuad / lanes_per_quad(); }
  constexpr bool operator==(const LaneOrder&) const = default;
};

constexpr LaneBit lane_bit(LaneOrder order, int selector, RowGroup at) {
  const int row = static_cast<int>(at.row);
  const int group = static_cast<int>(at.group);
  const int warp = row / kRowsPerWarp;
  const int quad = row % kRowsPerHalf;
  const int upper = row / kRowsPerHalf % 2;
  const int run_idx = group / order.run;
  const int nibble = group % order.run;

  const int first_lane =
      kLanesPerWarp * warp + kLanesPerQuad * quad + order.lanes_per_quad() * selector;
  if (order.run == kNibblesPerRegister) {
    return {first_lane + 2 * run_idx + upper, kBitsPerNibble * nibble};
  }
  return {first_lane + run_idx, kBitsPerNibble * (order.run * upper + nibble)};
}

constexpr RowGroup row_group(LaneOrder order, int selector, LaneBit at) {
  const int warp = at.lane / kLanesPerWarp;
  const int quad = at.lane % kLanesPerWarp / kLanesPerQuad;
  const int lane_in_quad = at.lane % kLanesPerQuad - order.lanes_per_quad() * selector;
  const int nibble = at.bit / kBitsPerNibble;

  const bool one_row = order.run == kNibblesPerRegister;
  const int upper = one_row ? lane_in_quad % 2 : nibble / order.run;
  const int run_idx = one_row ? lane_in_quad / 2 : lane_in_quad;
  return {kRowsPerWarp * warp + kRowsPerHalf * upper + quad,
          order.run * run_idx + nibble % order.run};
}

struct MetadataInstruction {
  std::string_view name;   // PTX's name, cut to family, shape and the first of its types
  std::string_view types;  // all element types of A that share this order
  int k;                   // logical elements of K in one instruction
  int group_size;          // logical elements of K in a group
  LaneOrder order;
};

inline constexpr auto kMetadataInstructions = std::to_array<MetadataInstruction>({
    {"mma.sp.m16n8k16.f16", "f16 bf16", 16, 4, {16, 4, 4}},
    {"mma.sp.m16n8k32.f16", "f16 bf16", 32, 4, {16, 8, 4}},
    {"mma.sp.m16n8k8.tf32", "tf32", 8, 2, {16, 4, 4}},
    {"mma.sp.m16n8k16.tf32", "tf32", 16, 2, {16, 8, 4}},
    {"mma.sp.m16n8k32.s8", "s8 u8", 32, 4, {16, 8, 8}},
    {"mma.sp.m16n8k64.s8", "s8 u8", 64, 4, {16, 16, 8}},
    {"mma.sp.m16n8k64.e4m3", "e4m3 e5m2", 64, 4, {16, 16, 8}},
    {"mma.sp.m16n8k64.s4", "s4 u4", 64, 8, {16, 8, 8}},
    {"mma.sp.m16n8k128.s4", "s4 u4", 128, 8, {16, 16, 8}},
    {"wgmma.sp.m64nNk32.f16", "f16 bf16", 32, 4, {64, 8, 4}},
    {"wgmma.sp.m64nNk16.tf32", "tf32", 16, 2, {64, 8, 4}},
    {"wgmma.sp.m64nNk64.s8", "s8 u8", 64, 4, {64, 16, 8}},
    {"wgmma.sp.m64nNk64.e4m3", "e4m3 e5m2", 64, 4, {64, 16, 8}},
});

// The instruction of that name; nullptr if there is none.
constexpr const MetadataInstruction* find_metadata_instruction(std::string_view name) {
  for (const MetadataInstruction& instruction : kMetadataInstructions) {
    if (instruction.name == name) return &instruction;
  }
  return nullptr;
}

// ---------------------------------------------------------------------------------------------
// CUTLASS sm80 order, which PyTorch stores: nibbles gathered into words, words permuted.
//
// A word holds 4 (16-bit) or 8 (32-bit) consecutive groups of a row, the earliest in the low bits;
// column = group / (word_bits / 4). Words are laid out in blocks of B = 32 (16-bit) or 16 (32-bit)
// rows by 2 columns, the row blocks of a column pair one after another:
//
//   offset = (column / 2) * 2 * num_rows + (row / B) * 2 * B
//          + (row % 8) * (B / 4) + ((row % B) / 16) * 4 + (column % 2) * 2 + (row / 8) % 2
//
// num_rows is a multiple of B and the number of columns is even. A block is what the lanes of a
// warp hold, in lane order. For 16-bit words these are the low and the high half of the registers
// of m16n8k32 with selector 0 for the first 16 rows and selector 1 for the others; for 32-bit words
// they are the registers of m16n8k64.

struct WordPosition {
  int64_t row;
  int64_t column;
  constexpr bool operator==(const WordPosition&) const = default;
};

// word_bits is 16 (fp16, bf16, and fp32 as 1:2) or 32 (int8).
constexpr int64_t cutlass_sm80_block_rows(int word_bits) {
  return word_bits == 16 ? 32 : 16;
}

constexpr int64_t cutlass_sm80_offset(int word_bits, int64_t num_rows, WordPosition at) {
  const int64_t block_rows = cutlass_sm80_block_rows(word_bits);
  return at.column / 2 * (2 * num_rows) + at.row / block_rows * (2 * block_rows) +
         at.row % 8 * (block_rows / 4) + at.row % block_rows / 16 * 4 + at.column % 2 * 2 +
         at.row / 8 % 2;
}

constexpr WordPosition cutlass_sm80_word(int word_bits, int64_t num_rows, int64_t offset) {
  const int64_t block_rows = cutlass_sm80_block_rows(word_bits);
  const int64_t column_pair = offset / (2 * num_rows);
  const int64_t block = offset % (2 * num_rows) / (2 * block_rows);
  const int64_t in_block = offset % (2 * block_rows);
  const int64_t row_in_eight = in_block / (block_rows / 4);
  const int64_t sixteen = in_block % (block_rows / 4) / 4;
  return {block * block_rows + sixteen * 16 + in_block % 2 * 8 + row_in_eight,
          column_pair * 2 + in_block / 2 % 2};
}

}  // namespace sparse_gemm::format
