// A warp's view of one packed tile (format/packed_order.h), for the kernels that make one or read
// one.
//
// A lane holds pieces: what one register of A is made of. A piece is 4 bytes of kept values, one
// byte in k4Bit, and the nibbles of the one or two groups that keep them; lane 4 * quad + t holds
// of each step the pieces t and t + 4 of the rows quad and quad + 8. A quad then reads 32
// neighbouring bytes of a dense row at a time, a whole sector (8 in k4Bit), and a lane's own words
// are what it stores to packed memory, 16 bytes at a time.
#pragma once

#include <cstdint>

#include "format/packed_order.h"

namespace sparse_gemm::cuda {

using format::PackedType;

inline constexpr int kWarpsPerCta = 4;
inline constexpr int kUppers = 2;
inline constexpr int kLaters = 2;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

struct Piece {
  int step;
  int upper;  // 1: row quad + 8
  int later;  // 1: piece t + 4 of the step
};

template <PackedType kType>
struct TileTraits {
  static constexpr format::PackedTraits kPacked = format::packed_traits(kType);
  static constexpr bool kIsNibbles = kType == PackedType::k4Bit;
  static constexpr bool kIsWidened = kType == PackedType::k4BitPairsAs8Bit;
  static constexpr int kSteps = kPacked.num_steps;
  static constexpr int kPieceBits = kIsNibbles ? 8 : 32;
  static constexpr int kPieceGroups = kPieceBits / kPacked.group_bits;
  static constexpr int kVectors = kIsNibbles ? 1 : kSteps;  // of 16 bytes, that a lane holds
  static constexpr int kMetadataWords = kPacked.metadata_words();
  // Pieces of a row of canonical or dense storage that make a row of the tile.
  static constexpr int kRowPieces = kSteps * format::kWordsPerStep / (kIsWidened ? 2 : 1);
};

// Calls op(piece) for the lane's pieces, with the loops unrolled.
template <PackedType kType, typename Op>
__device__ __forceinline__ void for_each_piece(Op op) {
#pragma unroll
  for (int step = 0; step < TileTraits<kType>::kSteps; ++step) {
#pragma unroll
    for (int later = 0; later < kLaters; ++later) {
#pragma unroll
      for (int upper = 0; upper < kUppers; ++upper) op(Piece{step, upper, later});
    }
  }
}

// Where the nibbles of a piece stand: the lane of the quad that supplies them, its word, and the
// lowest bit.
struct MetadataPlace {
  int lane_in_quad;
  int word;
  int bit;
};

template <PackedType kType>
constexpr MetadataPlace metadata_place(Piece at, int t) {
  constexpr format::LaneOrder kOrder = TileTraits<kType>::kPacked.order;
  if (kOrder.run == format::kNibblesPerRegister) {  // one row, two groups a piece
    return {2 * at.later + at.upper, at.step, 2 * format::kBitsPerNibble * t};
  }
  return {2 * (at.step % 2) + at.later, at.step / 2,
          format::kBitsPerNibble * (format::kLanesPerQuad * at.upper + t)};
}

template <PackedType kType>
constexpr bool metadata_places_agree() {
  using Traits = TileTraits<kType>;
  for (int lane = 0; lane < format::kLanesPerWarp; ++lane) {
    for (int i = 0; i < Traits::kSteps * kUppers * kLaters; ++i) {
      const Piece at{i / 4, i / 2 % 2, i % 2};
      const int t = lane % format::kLanesPerQuad;
      const int row = lane / format::kLanesPerQuad + format::kRowsPerHalf * at.upper;
      const int piece = format::kWordsPerStep * at.step + format::kLanesPerQuad * at.later + t;
      const MetadataPlace place = metadata_place<kType>(at, t);
      const int word = Traits::kMetadataWords * (lane - t + place.lane_in_quad) + place.word;
      const format::PackedBit expected =
          format::packed_metadata_bit(Traits::kPacked, row, piece * Traits::kPieceGroups);
      if (!(expected == format::PackedBit{word, place.bit})) return false;
    }
  }
  return true;
}
static_assert(metadata_places_agree<PackedType::k16Bit>());
static_assert(metadata_places_agree<PackedType::kTF32>());
static_assert(metadata_places_agree<PackedType::k8Bit>());
static_assert(metadata_places_agree<PackedType::k4BitPairs>());
static_assert(metadata_places_agree<PackedType::k4BitPairsAs8Bit>());
static_assert(metadata_places_agree<PackedType::k4Bit>());

// A batch of matrices has the rows of one after those of another, but strips end with a matrix.
inline constexpr int64_t kNoRow = INT64_MAX;  // of a strip, past the last one of its matrix

struct BatchRows {
  int64_t matrix_rows;
  int64_t matrix_strips;

  // A row counted through the batch, by the strip counted likewise and the row's place in it.
  __device__ int64_t row_of(int64_t strip, int in_strip) const {
    const int64_t matrix = strip / matrix_strips;
    const int64_t row = (strip - matrix * matrix_strips) * format::kPackedTileRows + in_strip;
    return row < matrix_rows ? matrix * matrix_rows + row : kNoRow;
  }
  // The inverse.
  __device__ int64_t strip_of(int64_t row, int* in_strip) const {
    const int64_t matrix = row / matrix_rows;
    const int64_t in_matrix = row - matrix * matrix_rows;
    *in_strip = static_cast<int>(in_matrix % format::kPackedTileRows);
    return matrix * matrix_strips + in_matrix / format::kPackedTileRows;
  }
};

// What the kernels know of matrices besides their memory: as numbers, so that no device divides.
struct TileGrid {
  int64_t rows;    // of all of them
  int64_t groups;  // in a row
  int64_t num_k_tiles;
  int64_t num_tiles;
  BatchRows batch;
};

// Where this warp's tile lies, and what this lane holds of it.
template <PackedType kType>
struct TilePosition {
  int64_t tile;           // in packed memory
  int64_t rows[kUppers];  // of the lane's pieces, by upper
  int64_t piece;          // of a row, the first one of the tile
  int lane;

  __device__ explicit TilePosition(const TileGrid& grid)
      : lane(static_cast<int>(threadIdx.x) % format::kLanesPerWarp) {
    tile = blockIdx.x * int64_t{kWarpsPerCta} + threadIdx.x / format::kLanesPerWarp;
    const int64_t strip = tile / grid.num_k_tiles;
    const int quad = lane / format::kLanesPerQuad;
#pragma unroll
    for (int upper = 0; upper < kUppers; ++upper) {
      rows[upper] = grid.batch.row_of(strip, quad + format::kRowsPerHalf * upper);
    }
    piece = (tile - strip * grid.num_k_tiles) * TileTraits<kType>::kRowPieces;
  }

  __device__ int t() const { return lane % format::kLanesPerQuad; }
  __device__ int64_t row_of(Piece at) const { return rows[at.upper]; }
  // The piece of canonical or dense storage. Where it is widened, two lanes share one: a block of
  // 32 elements of K is two pieces, which lanes 0 and 1 take the even and lanes 2 and 3 the odd
  // elements of.
  __device__ int64_t piece_of(Piece at) const {
    if constexpr (TileTraits<kType>::kIsWidened) {
      return piece + 2 * (kLaters * at.step + at.later) + t() % 2;
    }
    return piece + format::kWordsPerStep * at.step + format::kLanesPerQuad * at.later + t();
  }
};

// What a lane holds of a packed tile: registers of A, and operand E.
template <PackedType kType>
struct HeldTile {
  using Traits = TileTraits<kType>;
  uint32_t word[Traits::kVectors][format::kRegistersPerLane] = {};
  uint32_t metadata[Traits::kMetadataWords] = {};

  // The kept values of a piece.
  __device__ void put(Piece at, uint32_t kept) {
    const int reg = at.upper + 2 * at.later;
    if constexpr (Traits::kIsNibbles) {
      const int bit = format::kBitsPerNibble * reg;
      word[0][at.step] |= (kept & 0xF) << bit | kept >> 4 << (bit + format::kSecondNibble);
    } else {
      word[at.step][reg] = kept;
    }
  }
  __device__ uint32_t get(Piece at) const {
    const int reg = at.upper + 2 * at.later;
    if constexpr (Traits::kIsNibbles) {
      const uint32_t nibbles = word[0][at.step] >> (format::kBitsPerNibble * reg);
      return (nibbles & 0xF) | (nibbles >> format::kSecondNibble & 0xF) << 4;
    } else {
      return word[at.step][reg];
    }
  }

  __device__ void store(int64_t tile, int lane, uint4* values, uint32_t* all_metadata) const {
#pragma unroll
    for (int i = 0; i < Traits::kVectors; ++i) {
      values[(tile * Traits::kVectors + i) * format::kLanesPerWarp + lane] =
          make_uint4(word[i][0], word[i][1], word[i][2], word[i][3]);
    }
    uint32_t* target =
        all_metadata + (tile * format::kLanesPerWarp + lane) * Traits::kMetadataWords;
    if constexpr (Traits::kMetadataWords == 2) {
      *reinterpret_cast<uint2*>(target) = make_uint2(metadata[0], metadata[1]);
    } else {
      *target = metadata[0];
    }
  }

  __device__ void load(int64_t tile, int lane, const uint4* values, const uint32_t* all_metadata) {
#pragma unroll
    for (int i = 0; i < Traits::kVectors; ++i) {
      const uint4 words = values[(tile * Traits::kVectors + i) * format::kLanesPerWarp + lane];
      word[i][0] = words.x, word[i][1] = words.y, word[i][2] = words.z, word[i][3] = words.w;
    }
    const uint32_t* source =
        all_metadata + (tile * format::kLanesPerWarp + lane) * Traits::kMetadataWords;
    if constexpr (Traits::kMetadataWords == 2) {
      const uint2 words = *reinterpret_cast<const uint2*>(source);
      metadata[0] = words.x, metadata[1] = words.y;
    } else {
      metadata[0] = *source;
    }
  }
};

// Nibbles travel within quads: each lane knows those of its pieces, and ends up with the words that
// it supplies to mma.sp. `bits` are the lane's own parts of the words of all four suppliers.
template <PackedType kType>
struct QuadMetadata {
  static constexpr int kWords = TileTraits<kType>::kMetadataWords;
  uint32_t bits[kWords][format::kLanesPerQuad] = {};

  __device__ void put(Piece at, int t, uint32_t nibbles) {
    const MetadataPlace place = metadata_place<kType>(at, t);
    bits[place.word][place.lane_in_quad] |= nibbles << place.bit;
  }
  // With garbage above the piece's nibbles.
  __device__ uint32_t get(Piece at, int t) const {
    const MetadataPlace place = metadata_place<kType>(at, t);
    return bits[place.word][place.lane_in_quad] >> place.bit;
  }

  __device__ void gather(int t, uint32_t (&metadata)[kWords]) const {
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
#pragma unroll
      for (int supplier = 0; supplier < format::kLanesPerQuad; ++supplier) {
        uint32_t word = bits[i][supplier];
        word |= __shfl_xor_sync(kAllLanes, word, 1);
        word |= __shfl_xor_sync(kAllLanes, word, 2);
        if (t == supplier) metadata[i] = word;
      }
    }
  }
  // The inverse: the words of the quad, of which each lane supplies some.
  __device__ void spread(const uint32_t (&metadata)[kWords]) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
#pragma unroll
      for (int supplier = 0; supplier < format::kLanesPerQuad; ++supplier) {
        bits[i][supplier] = __shfl_sync(kAllLanes, metadata[i], supplier, format::kLanesPerQuad);
      }
    }
  }
};

// Pairs of 4-bit elements as bytes: the even elements or the odd ones, sign-extended.
__device__ __forceinline__ uint32_t widened(uint32_t pairs, bool odd) {
  const uint32_t nibbles = (odd ? pairs >> 4 : pairs) & 0x0F0F0F0Fu;
  return nibbles | (nibbles & 0x08080808u) * 0x1E;  // 0x08 * 0x1E = 0xF0: the sign, four times
}

// The inverse, for the lanes that hold the even elements; the odd ones are two lanes on.
__device__ __forceinline__ uint32_t narrowed(uint32_t bytes) {
  const uint32_t odd = __shfl_down_sync(kAllLanes, bytes, 2, format::kLanesPerQuad);
  return (bytes & 0x0F0F0F0Fu) | (odd & 0x0F0F0F0Fu) << 4;
}

}  // namespace sparse_gemm::cuda
