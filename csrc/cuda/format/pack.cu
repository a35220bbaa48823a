// pack and unpack on the device: between canonical storage and packed storage, which are
// permutations of one another. One warp a packed tile; group scales one thread each.
#include <cstdint>

#include "cuda/format/format.h"
#include "cuda/format/launch_tiles.h"
#include "cuda/format/packed_tile.h"
#include "cuda/format/row_memory.h"
#include "format/group.h"

namespace sparse_gemm::cuda {
namespace {

template <PackedType kType>
using CanonicalRows = RowMemory<1, TileTraits<kType>::kPieceBits / 8>;

// The nibbles of a piece; zero groups where there is none.
template <PackedType kType>
__device__ __forceinline__ uint32_t nibbles_of(const TileGrid& grid, const MetadataRows& metadata,
                                               int64_t row, int64_t piece) {
  constexpr int kGroups = TileTraits<kType>::kPieceGroups;
  uint32_t nibbles = 0;
#pragma unroll
  for (int i = 0; i < kGroups; ++i) {
    const int64_t group = piece * kGroups + i;
    const bool exists = row < grid.rows && group < grid.groups;
    const uint32_t nibble = exists ? metadata.nibble(row, group) : format::kZeroGroupNibble;
    nibbles |= nibble << (format::kBitsPerNibble * i);
  }
  return nibbles;
}

template <PackedType kType>
__global__ void pack_kernel(TileGrid grid, CanonicalRows<kType> values, MetadataRows metadata,
                            uint4* packed_values, uint32_t* packed_metadata) {
  const TilePosition<kType> position(grid);
  if (position.tile >= grid.num_tiles) return;
  QuadMetadata<kType> quad;
  HeldTile<kType> held;
  for_each_piece<kType>([&](Piece at) {
    const int64_t row = position.row_of(at);
    const int64_t piece = position.piece_of(at);
    const uint32_t kept = values.load(row, piece);
    quad.put(at, position.t(), nibbles_of<kType>(grid, metadata, row, piece));
    held.put(at, TileTraits<kType>::kIsWidened ? widened(kept, position.t() >= 2) : kept);
  });
  quad.gather(position.t(), held.metadata);
  held.store(position.tile, position.lane, packed_values, packed_metadata);
}

// Whether lane t of a quad writes the byte of canonical metadata that its piece lies in: pieces of
// one group share it with the next lane's, which stands beside it in the packed word, and widened
// ones with those two lanes on. The spare nibble of a row comes from the zero groups that fill up
// K.
template <PackedType kType>
constexpr bool writes_metadata(int t) {
  if (TileTraits<kType>::kIsWidened) return t < 2;
  return t * TileTraits<kType>::kPieceGroups % kGroupsPerMetadataByte == 0;
}

template <PackedType kType>
__global__ void unpack_kernel(TileGrid grid, const uint4* packed_values,
                              const uint32_t* packed_metadata, CanonicalRows<kType> values,
                              MetadataRows metadata) {
  using Traits = TileTraits<kType>;
  const TilePosition<kType> position(grid);
  if (position.tile >= grid.num_tiles) return;
  HeldTile<kType> held;
  held.load(position.tile, position.lane, packed_values, packed_metadata);
  QuadMetadata<kType> quad;
  quad.spread(held.metadata);
  for_each_piece<kType>([&](Piece at) {
    const int64_t row = position.row_of(at);
    const int64_t piece = position.piece_of(at);
    const int64_t group = piece * Traits::kPieceGroups;
    const uint32_t kept = Traits::kIsWidened ? narrowed(held.get(at)) : held.get(at);
    if (Traits::kIsWidened && position.t() >= 2) return;
    values.store(row, piece, static_cast<typename CanonicalRows<kType>::Whole>(kept));
    if (writes_metadata<kType>(position.t()) && row < grid.rows && group < grid.groups) {
      metadata.put_byte(row, group, quad.get(at, position.t()));
    }
  });
}

// Scales [rows, num_scales] to and from [strip][padded_scales][16]: see format/packed_order.h.
struct ScaleGrid {
  int64_t rows;  // of all matrices
  BatchRows batch;
  int64_t num_scales;     // in a row
  int64_t padded_scales;  // of whole tiles
  int64_t num_packed;
};

__device__ __forceinline__ int64_t thread_index() {
  return blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
}

__global__ void pack_scales_kernel(ScaleGrid grid, const uint16_t* scales, uint16_t* packed) {
  const int64_t index = thread_index();
  if (index >= grid.num_packed) return;
  const int64_t column = index / format::kPackedTileRows;
  const int64_t strip = column / grid.padded_scales;
  const int64_t scale = column - strip * grid.padded_scales;
  const int in_strip = format::row_of_packed_scale(index % format::kPackedTileRows);
  const int64_t row = grid.batch.row_of(strip, in_strip);
  const bool exists = row < grid.rows && scale < grid.num_scales;
  packed[index] = exists ? scales[row * grid.num_scales + scale] : uint16_t{0};
}

__global__ void unpack_scales_kernel(ScaleGrid grid, const uint16_t* packed, uint16_t* scales) {
  const int64_t index = thread_index();
  if (index >= grid.rows * grid.num_scales) return;
  const int64_t row = index / grid.num_scales;
  const int64_t scale = index - row * grid.num_scales;
  int in_strip;
  const int64_t column = grid.batch.strip_of(row, &in_strip) * grid.padded_scales + scale;
  scales[index] = packed[column * format::kPackedTileRows + format::packed_scale_index(in_strip)];
}

ScaleGrid scale_grid(const PackedView& packed, int group_size) {
  const PackedType type = packed.type();
  const int64_t padded = format::num_packed_k_tiles(type, packed.k) *
                         (format::packed_traits(type).tile_k / group_size);
  const int64_t strips = format::num_packed_strips(packed.rows);
  return {packed.batch * packed.rows,
          {packed.rows, strips},
          ceil_div(packed.k, group_size),
          padded,
          packed.batch * strips * padded * format::kPackedTileRows};
}

constexpr int64_t kThreadsPerCta = kWarpsPerCta * format::kLanesPerWarp;

// Calls start.operator()<kType>() for the type; for those that move alike, the same one.
template <typename Start>
Status visit_movement(PackedType type, const Start& start) {
  switch (type) {
    case PackedType::k16Bit:
    case PackedType::kTF32:  // a group of 4 bytes in two rows' order too
      return start.template operator()<PackedType::k16Bit>();
    case PackedType::k8Bit:
    case PackedType::k4BitPairs:  // a group of 2 bytes in one row's order too
      return start.template operator()<PackedType::k8Bit>();
    case PackedType::k4BitPairsAs8Bit:
      return start.template operator()<PackedType::k4BitPairsAs8Bit>();
    case PackedType::k4Bit:
      return start.template operator()<PackedType::k4Bit>();
  }
  return Status::unsupported("no such packed order");
}

template <PackedType kType>
CanonicalRows<kType> canonical_rows(const void* values, const PackedView& packed) {
  constexpr int kPieceBytes = TileTraits<kType>::kPieceBits / 8;
  const int64_t row_bytes =
      num_groups(packed.pattern, packed.k) * TileTraits<kType>::kPacked.group_bits / 8;
  return {static_cast<const char*>(values),
          packed.batch * packed.rows,
          row_bytes,
          row_bytes,
          1,
          row_bytes % kPieceBytes == 0 && is_aligned(values, kPieceBytes),
          false};
}

}  // namespace

Status pack(const format::CompressedView& canonical, const PackedView& packed, Target target) {
  const auto grid = tile_grid(packed);
  const MetadataRows metadata{const_cast<uint8_t*>(canonical.metadata),
                              metadata_row_bytes(packed.pattern, packed.k)};
  return visit_movement(packed.type(), [&]<PackedType kType>() {
    return launch_tiles(
        pack_kernel<kType>, "pack", grid, target, canonical_rows<kType>(canonical.values, packed),
        metadata, static_cast<uint4*>(packed.values), static_cast<uint32_t*>(packed.metadata));
  });
}

Status unpack(const PackedView& packed, void* values, uint8_t* metadata, Target target) {
  const auto grid = tile_grid(packed);
  const MetadataRows rows{metadata, metadata_row_bytes(packed.pattern, packed.k)};
  return visit_movement(packed.type(), [&]<PackedType kType>() {
    return launch_tiles(
        unpack_kernel<kType>, "unpack", grid, target, static_cast<const uint4*>(packed.values),
        static_cast<const uint32_t*>(packed.metadata), canonical_rows<kType>(values, packed), rows);
  });
}

Status pack_scales(const void* scales, const PackedView& packed, int group_size, void* out,
                   Target target) {
  const ScaleGrid grid = scale_grid(packed, group_size);
  return launch_ctas(pack_scales_kernel, "pack_scales", ceil_div(grid.num_packed, kThreadsPerCta),
                     target, grid, static_cast<const uint16_t*>(scales),
                     static_cast<uint16_t*>(out));
}

Status unpack_scales(const void* packed_scales, const PackedView& packed, int group_size, void* out,
                     Target target) {
  const ScaleGrid grid = scale_grid(packed, group_size);
  return launch_ctas(unpack_scales_kernel, "unpack_scales",
                     ceil_div(grid.rows * grid.num_scales, kThreadsPerCta), target, grid,
                     static_cast<const uint16_t*>(packed_scales), static_cast<uint16_t*>(out));
}

}  // namespace sparse_gemm::cuda
