// prune, check, compress and decompress on the device: between dense matrices and packed ones. One
// warp a packed tile, each byte read once and written once.
#include <cstdint>

#include "cuda/format/device_group.h"
#include "cuda/format/format.h"
#include "cuda/format/launch_tiles.h"
#include "cuda/format/packed_tile.h"
#include "cuda/format/row_memory.h"

namespace sparse_gemm::cuda {
namespace {

// The dense bytes that a piece is compressed from: twice those that it keeps.
template <PackedType kType>
inline constexpr int kDensePieceBytes = 2 * TileTraits<kType>::kPieceBits / 8;

template <PackedType kType, int kPlaceBits>
using DenseRows = RowMemory<(kPlaceBits < 8 ? 1 : kPlaceBits / 8), kDensePieceBytes<kType>>;

template <typename Codec, PackedType kType = format::packed_type_of(Codec::kPattern, Codec::kDType)>
using DenseRowsOf = DenseRows<kType, Codec::kPlaceBits>;

// Group i of a dense piece.
template <typename Codec, typename Whole>
__device__ __forceinline__ typename Codec::Group group_of(Whole piece, int i) {
  return static_cast<typename Codec::Group>(piece >> (i * Codec::kGroupBits));
}

// Packed values and metadata of `w`, and the first violation. Without `values` that alone.
template <typename Codec, PackedType kType>
__global__ void compress_kernel(TileGrid grid, DenseRowsOf<Codec> w, format::Policy policy,
                                uint4* values, uint32_t* metadata, int64_t* violation) {
  using Traits = TileTraits<kType>;
  const TilePosition<kType> position(grid);
  if (position.tile >= grid.num_tiles) return;
  int64_t first = kNoViolation;
  QuadMetadata<kType> quad;
  HeldTile<kType> held;
  for_each_piece<kType>([&](Piece at) {
    const int64_t row = position.row_of(at);
    const int64_t piece = position.piece_of(at);
    const auto dense = w.load(row, piece);
    uint32_t kept = 0;
    uint32_t nibbles = 0;
#pragma unroll
    for (int i = 0; i < Traits::kPieceGroups; ++i) {
      auto group = group_of<Codec>(dense, i);
      if (policy == format::Policy::kPrune) group = Codec::prune(group);
      const unsigned mask = Codec::nonzero_mask(group);
      if (Codec::has_too_many(mask)) {
        first = min(first, row * grid.groups + piece * Traits::kPieceGroups + i);
      }
      const uint32_t nibble = Codec::nibble_of(mask);
      nibbles |= nibble << (format::kBitsPerNibble * i);
      kept |= Codec::keep(group, nibble) << (Codec::kGroupBits / 2 * i);
    }
    quad.put(at, position.t(), nibbles);
    held.put(at, Traits::kIsWidened ? widened(kept, position.t() >= 2) : kept);
  });
  if (values != nullptr) {
    quad.gather(position.t(), held.metadata);
    held.store(position.tile, position.lane, values, metadata);
  }
  if (first != kNoViolation) {
    atomicMin(reinterpret_cast<long long*>(violation), static_cast<long long>(first));
  }
}

template <typename Codec>
__global__ void prune_kernel(TileGrid grid, DenseRowsOf<Codec> w, DenseRowsOf<Codec> out) {
  constexpr PackedType kType = format::packed_type_of(Codec::kPattern, Codec::kDType);
  const TilePosition<kType> position(grid);
  if (position.tile >= grid.num_tiles) return;
  for_each_piece<kType>([&](Piece at) {
    const int64_t row = position.row_of(at);
    const int64_t piece = position.piece_of(at);
    const auto dense = w.load(row, piece);
    auto pruned = dense;
    pruned = 0;
#pragma unroll
    for (int i = 0; i < TileTraits<kType>::kPieceGroups; ++i) {
      const decltype(pruned) group = Codec::prune(group_of<Codec>(dense, i));
      pruned |= group << (i * Codec::kGroupBits);
    }
    out.store(row, piece, pruned);
  });
}

template <PackedType kType, int kPlaces, int kPlaceBits>
__global__ void decompress_kernel(TileGrid grid, const uint4* values, const uint32_t* metadata,
                                  DenseRows<kType, kPlaceBits> out) {
  using Traits = TileTraits<kType>;
  using Bits = GroupBits<kPlaces, kPlaceBits>;
  const TilePosition<kType> position(grid);
  if (position.tile >= grid.num_tiles) return;
  HeldTile<kType> held;
  held.load(position.tile, position.lane, values, metadata);
  QuadMetadata<kType> quad;
  quad.spread(held.metadata);
  for_each_piece<kType>([&](Piece at) {
    const uint32_t kept = Traits::kIsWidened ? narrowed(held.get(at)) : held.get(at);
    const uint32_t nibbles = quad.get(at, position.t());
    typename DenseRows<kType, kPlaceBits>::Whole dense = 0;
#pragma unroll
    for (int i = 0; i < Traits::kPieceGroups; ++i) {
      const decltype(dense) group =
          Bits::spread(kept >> (Bits::kGroupBits / 2 * i), nibbles >> (format::kBitsPerNibble * i));
      dense |= group << (i * Bits::kGroupBits);
    }
    if (!Traits::kIsWidened || position.t() < 2) {
      out.store(position.row_of(at), position.piece_of(at), dense);
    }
  });
}

// --------------------------------------------------------------------------------------- dispatch

using DeviceCodecs =
    format::CodecList<DeviceCodec<Pattern::k2of4, format::Float16Place>,
                      DeviceCodec<Pattern::k2of4, format::BFloat16Place>,
                      DeviceCodec<Pattern::k2of4, format::Int8Place>,
                      DeviceCodec<Pattern::k2of4, format::Float8E4M3Place>,
                      DeviceCodec<Pattern::k2of4, format::Float8E5M2Place>,
                      DeviceCodec<Pattern::k1of2, format::Float32Place>,
                      DeviceCodec<Pattern::k4of8, format::Int4PairPlace>,
                      DeviceCodec<Pattern::k2of4, format::Int4Place, format::kBitsPerNibble>>;

constexpr bool every_packed_matrix_has_a_codec() {
  for (int pattern = 0; pattern < kNumPatterns; ++pattern) {
    for (int dtype = 0; dtype < kNumDTypes; ++dtype) {
      const auto p = static_cast<Pattern>(pattern);
      const auto d = static_cast<DType>(dtype);
      if (format::packed_supports(p, d) != DeviceCodecs::contains(p, d)) return false;
    }
  }
  return true;
}
static_assert(every_packed_matrix_has_a_codec());

// What start.operator()<Codec>() gives for the codec of (pattern, dtype), which has one.
template <typename Start>
Status visit_codec(Pattern pattern, DType dtype, const Start& start) {
  Status status = Status::ok();
  DeviceCodecs::visit(pattern, dtype, [&]<typename Codec>() {
    static_cast<void>(status = start.template operator()<Codec>());
  });
  return status;
}

// Units of a row: two elements share one in 4-bit types.
template <int kUnitBytes, int kPieceBytes>
RowMemory<kUnitBytes, kPieceBytes> row_memory(const format::DenseView& w) {
  constexpr int kUnits = kPieceBytes / kUnitBytes;
  const bool is_4_bit = w.dtype == DType::kInt4x2;
  return {static_cast<const char*>(w.data),
          w.rows,
          is_4_bit ? ceil_div(w.k, 2) : w.k,
          w.row_stride,
          w.col_stride,
          w.col_stride == 1 && w.row_stride % kUnits == 0 && is_aligned(w.data, kPieceBytes),
          is_4_bit && w.k % 2 == 1};
}

format::DenseView contiguous(const void* data, DType dtype, int64_t rows, int64_t k) {
  const int64_t units = dtype == DType::kInt4x2 ? ceil_div(k, 2) : k;
  return {data, dtype, rows, k, units, 1};
}

template <typename Codec>
DenseRowsOf<Codec> dense_rows(const format::DenseView& w) {
  constexpr PackedType kType = format::packed_type_of(Codec::kPattern, Codec::kDType);
  constexpr int kUnitBytes = Codec::kPlaceBits < 8 ? 1 : Codec::kPlaceBits / 8;
  return row_memory<kUnitBytes, kDensePieceBytes<kType>>(w);
}

template <PackedType kType, int kPlaces, int kPlaceBits>
Status decompress_to(const PackedView& packed, void* out, Target target) {
  constexpr int kUnitBytes = kPlaceBits < 8 ? 1 : kPlaceBits / 8;
  const auto dense = row_memory<kUnitBytes, kDensePieceBytes<kType>>(
      contiguous(out, packed.dtype, packed.batch * packed.rows, packed.k));
  return launch_tiles(decompress_kernel<kType, kPlaces, kPlaceBits>, "decompress",
                      tile_grid(packed), target, static_cast<const uint4*>(packed.values),
                      static_cast<const uint32_t*>(packed.metadata), dense);
}

}  // namespace

Status check(const format::DenseView& w, Pattern pattern, int64_t* violation, Target target) {
  return visit_codec(pattern, w.dtype, [&]<typename Codec>() {
    constexpr PackedType kType = format::packed_type_of(Codec::kPattern, Codec::kDType);
    return launch_tiles(compress_kernel<Codec, kType>, "check",
                        tile_grid(kType, pattern, w.rows, w.k), target, dense_rows<Codec>(w),
                        format::Policy::kRaise, static_cast<uint4*>(nullptr),
                        static_cast<uint32_t*>(nullptr), violation);
  });
}

Status compress(const format::DenseView& w, format::Policy policy, const PackedView& packed,
                int64_t* violation, Target target) {
  return visit_codec(packed.pattern, w.dtype, [&]<typename Codec>() {
    constexpr PackedType kType = format::packed_type_of(Codec::kPattern, Codec::kDType);
    auto kernel = compress_kernel<Codec, kType>;
    if constexpr (kType == PackedType::k4BitPairs) {
      if (packed.type() != kType) kernel = compress_kernel<Codec, PackedType::k4BitPairsAs8Bit>;
    }
    return launch_tiles(kernel, "compress", tile_grid(packed), target, dense_rows<Codec>(w), policy,
                        static_cast<uint4*>(packed.values), static_cast<uint32_t*>(packed.metadata),
                        violation);
  });
}

Status prune(const format::DenseView& w, Pattern pattern, void* out, Target target) {
  return visit_codec(pattern, w.dtype, [&]<typename Codec>() {
    constexpr PackedType kType = format::packed_type_of(Codec::kPattern, Codec::kDType);
    return launch_tiles(prune_kernel<Codec>, "prune", tile_grid(kType, pattern, w.rows, w.k),
                        target, dense_rows<Codec>(w),
                        dense_rows<Codec>(contiguous(out, w.dtype, w.rows, w.k)));
  });
}

Status decompress(const PackedView& packed, void* out, Target target) {
  switch (packed.type()) {
    case PackedType::k16Bit:
      return decompress_to<PackedType::k16Bit, 4, 16>(packed, out, target);
    case PackedType::kTF32:
      return decompress_to<PackedType::kTF32, 2, 32>(packed, out, target);
    case PackedType::k8Bit:
      return decompress_to<PackedType::k8Bit, 4, 8>(packed, out, target);
    case PackedType::k4BitPairs:
      return decompress_to<PackedType::k4BitPairs, 4, 8>(packed, out, target);
    case PackedType::k4BitPairsAs8Bit:
      return decompress_to<PackedType::k4BitPairsAs8Bit, 4, 8>(packed, out, target);
    case PackedType::k4Bit:
      return decompress_to<PackedType::k4Bit, 4, 4>(packed, out, target);
  }
  return Status::unsupported("decompress: no such packed order");
}

}  // namespace sparse_gemm::cuda
