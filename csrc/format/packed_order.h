// Packed order: where the values and nibbles of a matrix stand for CUDA kernels.
//
// A matrix [rows, K] is cut into tiles of 16 rows by `tile_k` elements of K. The tiles of a strip
// of 16 rows lie one after another along K, strips one after another. A tile is what a warp's
// registers hold, in lane order, so that a lane fetches its operands with wide aligned loads:
//
//   values    step 0: lanes 0..31 x 16 bytes (registers 0..3 of A), then step 1
//   metadata  lanes 0..31 x 4 or 8 bytes: operand E of steps 0 and 1; where the instruction has two
//             selectors both steps share a word, the lanes of selector 0 and those of selector 1
//
// The instructions of all types take the same bytes: a step is 32 bytes of kept values of each row,
// and of these register `upper + 2 * later` of lane 4 * quad + t holds bytes 4 * t + 16 * later to
// + 3 of row quad + 8 * upper. So values of all types but k4Bit are one permutation of 32-bit
// words.
//
// k4Bit is not what an instruction reads but what becomes operand A of mma.sp.m16n8k32 in
// registers: word s of a lane's 16 bytes holds the nibbles of step s, the lane's registers 0..3 of
// it.
//
// Rows and K are filled up to whole tiles with groups of zeros, whose nibble is kZeroGroupNibble.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/multiply.h"
#include "core/pattern.h"
#include "format/metadata_order.h"

namespace sparse_gemm::format {

enum class PackedType : uint8_t {
  k16Bit,            // 2:4 of f16, bf16
  kTF32,             // 1:2 of f32
  k8Bit,             // 2:4 of s8, e4m3, e5m2
  k4BitPairs,        // 4:8 of s4
  k4BitPairsAs8Bit,  // 4:8 of s4 as 2:4 of s8, K permuted (see pairs_as_8_bit)
  k4Bit,             // 2:4 of s4, for 16-bit activations
};

inline constexpr int kNumPackedTypes = 6;

inline constexpr int kPackedTileRows = 16;
inline constexpr int kRegistersPerLane = 4;  // of A, for one step
inline constexpr int kPackedStepWords = kLanesPerWarp * kRegistersPerLane;
inline constexpr int kPackedWordBytes = 4;
inline constexpr int kPackedStepBytes = kPackedStepWords * kPackedWordBytes;

struct PackedTraits {
  int group_elems;    // logical elements of K in a group
  int group_bits;     // of the kept values of a group
  int tile_k;         // logical elements of K in a tile
  int tiles_at_once;  // tiles along K come in multiples of this
  int num_steps;      // mma.sp instructions along K in a tile
  LaneOrder order;    // of a step's metadata

  constexpr int step_k() const { return tile_k / num_steps; }
  constexpr int groups_per_step() const { return order.num_groups; }
  constexpr int groups_per_tile() const { return num_steps * order.num_groups; }
  // Words of metadata that a lane has of a tile.
  constexpr int metadata_words() const { return num_steps / order.num_selectors(); }
  constexpr int values_bytes() const {  // of a tile
    return kPackedTileRows * groups_per_tile() * group_bits / 8;
  }
  constexpr int metadata_bytes() const {  // of a tile
    return kLanesPerWarp * metadata_words() * kPackedWordBytes;
  }
};

// A switch and no table, so that devices may call it: nvcc compiles a reference into a host's table
// without a word, and on the device it is a wild address.
constexpr PackedTraits packed_traits(PackedType type) {
  constexpr LaneOrder kTwoRows{16, 8, 4};  // m16n8k32 of 16-bit types, m16n8k16 of tf32
  constexpr LaneOrder kOneRow{16, 16, 8};  // m16n8k64 of 8-bit types, m16n8k128 of 4-bit ones
  switch (type) {
    case PackedType::k16Bit:
      return {4, 32, 64, 1, 2, kTwoRows};
    case PackedType::kTF32:
      return {2, 32, 32, 1, 2, kTwoRows};
    case PackedType::k8Bit:
      return {4, 16, 128, 1, 2, kOneRow};
    case PackedType::k4BitPairs:
      return {8, 16, 256, 1, 2, kOneRow};
    case PackedType::k4BitPairsAs8Bit:
      return {4, 16, 128, 2, 2, kOneRow};
    case PackedType::k4Bit:
      return {4, 8, 128, 1, 4, kTwoRows};
  }
  return {};
}

static_assert(find_metadata_instruction("mma.sp.m16n8k32.f16")->order ==
              packed_traits(PackedType::k16Bit).order);
static_assert(find_metadata_instruction("mma.sp.m16n8k16.tf32")->order ==
              packed_traits(PackedType::kTF32).order);
static_assert(find_metadata_instruction("mma.sp.m16n8k64.s8")->order ==
              packed_traits(PackedType::k8Bit).order);
static_assert(find_metadata_instruction("mma.sp.m16n8k64.e4m3")->order ==
              packed_traits(PackedType::k8Bit).order);
static_assert(find_metadata_instruction("mma.sp.m16n8k128.s4")->order ==
              packed_traits(PackedType::k4BitPairs).order);

// Whether matrices of this kind have a packed form at all.
constexpr bool packed_supports(Pattern pattern, DType dtype) {
  switch (pattern) {
    case Pattern::k2of4:
      return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kInt8 ||
             dtype == DType::kFloat8E4M3 || dtype == DType::kFloat8E5M2 || dtype == DType::kInt4x2;
    case Pattern::k1of2:
      return dtype == DType::kFloat32;
    case Pattern::k4of8:
      return dtype == DType::kInt4x2;
  }
  return false;
}

// Of what packed_supports says yes to. `as_8_bit`: as Multiply::kS4AsS8 reads it; 4:8 alone.
constexpr PackedType packed_type_of(Pattern pattern, DType dtype, bool as_8_bit = false) {
  if (pattern == Pattern::k1of2) return PackedType::kTF32;
  if (pattern == Pattern::k4of8) {
    return as_8_bit ? PackedType::k4BitPairsAs8Bit : PackedType::k4BitPairs;
  }
  if (dtype == DType::kFloat16 || dtype == DType::kBFloat16) return PackedType::k16Bit;
  return dtype == DType::kInt4x2 ? PackedType::k4Bit : PackedType::k8Bit;
}

// What a kernel's A is. On a device only as the initialiser of a constexpr (core/multiply.h).
constexpr PackedType packed_type_of(Multiply multiply) {
  const MultiplyTraits traits = traits_of(multiply);
  return packed_type_of(traits.pattern, traits.a, multiply == Multiply::kS4AsS8);
}

// A stage is a_tiles packed tiles of stage_k elements in all, and packed storage is whole stages.
constexpr bool stages_are_packed_tiles() {
  for (int i = 0; i < kNumMultiplies; ++i) {
    const MultiplyTraits multiply = kMultiplies[i];
    const PackedTraits packed = packed_traits(packed_type_of(static_cast<Multiply>(i)));
    if (multiply.stage_k != multiply.a_tiles * packed.tile_k) return false;
    if (multiply.a_tiles != packed.tiles_at_once) return false;
  }
  return true;
}
static_assert(stages_are_packed_tiles());

// ------------------------------------------------------------------------------------------ sizes

constexpr int64_t num_packed_strips(int64_t rows) {
  return ceil_div(rows, kPackedTileRows);
}
constexpr int64_t num_packed_k_tiles(PackedType type, int64_t k) {
  const PackedTraits traits = packed_traits(type);
  return ceil_div(k, traits.tile_k * traits.tiles_at_once) * traits.tiles_at_once;
}
constexpr int64_t num_packed_tiles(PackedType type, int64_t rows, int64_t k) {
  return num_packed_strips(rows) * num_packed_k_tiles(type, k);
}
constexpr int64_t packed_values_bytes(PackedType type, int64_t rows, int64_t k) {
  return num_packed_tiles(type, rows, k) * packed_traits(type).values_bytes();
}
constexpr int64_t packed_metadata_bytes(PackedType type, int64_t rows, int64_t k) {
  return num_packed_tiles(type, rows, k) * packed_traits(type).metadata_bytes();
}

// ----------------------------------------------------------------------------------------- values

// A 32-bit word of a step's values: which lane's register of A it is.
struct PackedWord {
  int step;
  int lane;
  int reg;
  constexpr bool operator==(const PackedWord&) const = default;
};

// Of all types but k4Bit, the word that holds bytes 4 * word to + 3 of a row of a tile (a row has
// 64 bytes of kept values), and the inverse.
inline constexpr int kWordsPerStep = 8;  // of a row

constexpr PackedWord packed_word(int row, int word) {
  const int in_step = word % kWordsPerStep;
  return {word / kWordsPerStep, kLanesPerQuad * (row % kRowsPerHalf) + in_step % kLanesPerQuad,
          row / kRowsPerHalf + 2 * (in_step / kLanesPerQuad)};
}
constexpr int row_of(PackedWord at) {
  return at.lane / kLanesPerQuad + kRowsPerHalf * (at.reg % 2);
}
constexpr int word_of(PackedWord at) {
  return kWordsPerStep * at.step + at.lane % kLanesPerQuad + kLanesPerQuad * (at.reg / 2);
}
// Its index in the tile's values.
constexpr int index_of(PackedWord at) {
  return kPackedStepWords * at.step + kRegistersPerLane * at.lane + at.reg;
}

// Of k4Bit: the word of the tile's values that holds the kept values of a group, and the bit of its
// first one; the second one is kSecondNibble further. Step s is word s of the lane.
inline constexpr int kSecondNibble = 16;

struct PackedBit {
  int word;
  int bit;
  constexpr bool operator==(const PackedBit&) const = default;
};

constexpr PackedBit packed_nibble(int row, int group) {
  const PackedWord held = packed_word(row, group);  // m16n8k32: a register is a group
  return {kRegistersPerLane * held.lane + held.step, kBitsPerNibble * held.reg};
}

// --------------------------------------------------------------------------------------- metadata

// The word of the tile's metadata, and the bit in it, of the nibble of (row, group) of the tile.
constexpr PackedBit packed_metadata_bit(PackedTraits traits, int row, int group) {
  const int step = group / traits.groups_per_step();
  const int selectors = traits.order.num_selectors();
  const LaneBit at =
      lane_bit(traits.order, step % selectors, {row, group % traits.groups_per_step()});
  return {traits.metadata_words() * at.lane + step / selectors, at.bit};
}

// ----------------------------------------------------------------------------------- group scales

// 16-bit floats, one for each row and `group_size` elements of K: of a tile [tile_k / group_size]
// [16], tiles as those of the values. Rows q and q + 8, which lanes of quad q hold, stand side by
// side. 0 where there is no row or no K.
constexpr int packed_scale_index(int row) {
  return 2 * (row % kRowsPerHalf) + row / kRowsPerHalf;
}
constexpr int row_of_packed_scale(int index) {
  return index / 2 + kRowsPerHalf * (index % 2);
}

constexpr bool packed_group_size_fits(PackedType type, int64_t group_size) {
  return (type == PackedType::k8Bit || type == PackedType::k4Bit) &&
         (group_size == 32 || group_size == 64 || group_size == 128);
}
constexpr int packed_scales_tile_bytes(PackedType type, int group_size) {
  return packed_traits(type).tile_k / group_size * kPackedTileRows * 2;
}
constexpr int64_t packed_scales_bytes(PackedType type, int64_t rows, int64_t k, int group_size) {
  return num_packed_tiles(type, rows, k) * packed_scales_tile_bytes(type, group_size);
}

// --------------------------------------------------------------------------- 4:8 as 2:4 of 8 bits
//
// In a block of 32 elements of K (four groups of 4:8) first all the even elements, then all the odd
// ones: the pairs that a group keeps are then the elements that two groups of 2:4 keep, and all
// three have the same nibble.

inline constexpr int kPairsBlock = 32;

// Where element k stands.
constexpr int64_t pairs_as_8_bit(int64_t k) {
  const int64_t in_block = k % kPairsBlock;
  return k - in_block + in_block % 2 * (kPairsBlock / 2) + in_block / 2;
}

}  // namespace sparse_gemm::format
