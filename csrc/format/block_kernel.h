// The SIMD kernels of the format, once for every instruction set: a block's places become a mask of
// non-zeros, the mask becomes metadata, the metadata a mask of what is kept; places are moved
// together, or apart, by that mask. Included by the isa_*.cpp files alone, each of which is
// compiled with its own flags: whatever has code of its own in an optimised build is a template
// over the SIMD traits, so that no file's function stands in for another's.
//
// A traits type Simd<Lane> (Lane: an unsigned integer as wide as a place) gives Vector,
// kVectorBytes, load, store, broadcast, bit_and, min (unsigned), subtract, abs (of signed bytes).
// nonzero(x, bits) has bit i set if lane i of x has one of `bits` set. compact(x, kept, out) stores
// the lanes whose bits are set in `kept`, half of them, side by side; expand(in, kept) is its
// inverse, with zeros in the other lanes. rotate<n>(x) gives lane i of each four lane (i + n) % 4,
// swap(x), for 32-bit lanes alone, each of a pair the other. greater(a, b) is a signed comparison,
// a Mask; keep(mask, x) is x where the mask is set, else zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "format/block_kernels.h"
#include "format/group.h"
#include "format/simd_nibbles.h"

namespace sparse_gemm::format {

template <template <typename> typename Simd, typename C>
class BlockKernel {
  using Place = typename C::Place;
  using Places = Simd<typename Place::Storage>;
  using Vector = typename Places::Vector;
  using Mask = typename Places::Mask;
  // A group of two places is moved as one of four halves, as its nibble has it.
  static constexpr bool kIsPairs = C::kPlaces == 2;
  using Cells = Simd<std::conditional_t<kIsPairs, uint16_t, typename Place::Storage>>;

  static constexpr int kVectorBytes = Places::kVectorBytes;
  static constexpr int kPlacesPerVector = kVectorBytes / static_cast<int>(C::kCellBytes);
  static constexpr int kCellsPerVector = kPlacesPerVector * (kIsPairs ? 2 : 1);
  static constexpr int64_t kDenseBytes = kBlockGroups * C::kGroupBytes;
  static constexpr int64_t kKeptBytes = kBlockGroups * C::kKeptBytes;
  static constexpr int kVectors = static_cast<int>(kDenseBytes / kVectorBytes);

  // What is kBy places further on in the group, cyclically.
  template <int kBy>
  SPARSE_GEMM_INLINE static Vector rotated(Vector x) {
    if constexpr (kIsPairs)
      return Places::swap(x);
    else
      return Places::template rotate<kBy>(x);
  }

  // Of these, 1 where it is an earlier place, which wins ties.
  template <int kBy>
  static constexpr auto kComesEarlier = [] {
    std::array<typename Place::Storage, kPlacesPerVector> comes_earlier{};
    for (int i = 0; i < kPlacesPerVector; ++i) {
      comes_earlier[static_cast<size_t>(i)] = i % C::kPlaces + kBy >= C::kPlaces ? 1 : 0;
    }
    return comes_earlier;
  }();

  SPARSE_GEMM_INLINE static BlockMask nonzero_places(const std::byte* dense) {
    const Vector bits = Places::broadcast(Place::kNonzeroBits);
    uint64_t halves[2] = {0, 0};
    for (int i = 0; i < kVectors; ++i) {
      const int place = i * kPlacesPerVector;
      const uint64_t nonzero = Places::nonzero(Places::load(dense + i * kVectorBytes), bits);
      halves[place / 64] |= nonzero << place % 64;
    }
    return {halves[0], halves[1]};
  }

  SPARSE_GEMM_INLINE static Metadata metadata_of(BlockMask nonzero) {
    if constexpr (kIsPairs) return metadata_of_pairs(nonzero);
    return metadata_of_fours(nonzero);
  }

  // The part of a mask that is for vector i, in its low bits; other bits stay above it.
  SPARSE_GEMM_INLINE static uint64_t part_of(BlockMask mask, int i) {
    const int cell = i * kCellsPerVector;
    return (cell < 64 ? mask.low : mask.high) >> cell % 64;
  }

  // An integer that orders places as Place::magnitude does, when compared as a signed one. None is
  // the smallest of its type: 1 can be subtracted.
  SPARSE_GEMM_INLINE static Vector key_of(Vector x) {
    if constexpr (Place::kIsFloat) {
      const Vector magnitude = Places::bit_and(x, Places::broadcast(Place::kNonzeroBits));
      return Places::min(magnitude, Places::broadcast(Place::kNan));
    } else {
      return Places::subtract(Places::abs(x), Places::broadcast(1));
    }
  }

  // Where the place that is kBy further on is stronger.
  template <int kBy>
  SPARSE_GEMM_INLINE static Mask is_beaten(Vector key) {
    const auto* ties = reinterpret_cast<const std::byte*>(kComesEarlier<kBy>.data());
    return Places::greater(rotated<kBy>(key), Places::subtract(key, Places::load(ties)));
  }

  SPARSE_GEMM_INLINE static Vector pruned(Vector x) {
    const Vector key = key_of(x);
    const Mask by_next = is_beaten<1>(key);
    if constexpr (kIsPairs) return Places::keep(static_cast<Mask>(~by_next), x);
    const Mask by_second = is_beaten<2>(key);
    const Mask by_third = is_beaten<3>(key);
    const auto twice = (by_next & by_second) | (by_third & (by_next | by_second));
    return Places::keep(static_cast<Mask>(~twice), x);
  }

  SPARSE_GEMM_INLINE static void prune_block(const std::byte* dense, std::byte* out) {
    for (int i = 0; i < kVectors; ++i) {
      const Vector x = Places::load(dense + i * kVectorBytes);
      Places::store(out + i * kVectorBytes, pruned(x));
    }
  }

  // Returns what metadata_of has seen.
  SPARSE_GEMM_INLINE static Bytes16 compress_block(const std::byte* dense, std::byte* values,
                                                   uint8_t* metadata) {
    const Metadata found = metadata_of(nonzero_places(dense));
    store_bytes(metadata, found.bytes);
    const BlockMask kept = to_mask(kept_masks(found.bytes));
    for (int i = 0; i < kVectors; ++i) {
      Cells::compact(Cells::load(dense + i * kVectorBytes), part_of(kept, i),
                     values + i * kVectorBytes / 2);
    }
    return found.seen;
  }

 public:
  static constexpr bool kCanPrune = Place::kIsFloat || std::is_same_v<Place, Int8Place>;

  static bool compress(const std::byte* dense, int64_t blocks, std::byte* values,
                       uint8_t* metadata) {
    Bytes16 seen = _mm_setzero_si128();
    for (int64_t i = 0; i < blocks; ++i) {
      const Bytes16 found = compress_block(dense + i * kDenseBytes, values + i * kKeptBytes,
                                           metadata + i * kBlockUnits);
      seen = _mm_or_si128(seen, found);
    }
    return !has_any(seen, kTooMany);
  }

  static bool compress_prune(const std::byte* dense, int64_t blocks, std::byte* values,
                             uint8_t* metadata) {
    for (int64_t i = 0; i < blocks; ++i) {
      alignas(64) std::byte block[kDenseBytes];
      prune_block(dense + i * kDenseBytes, block);
      compress_block(block, values + i * kKeptBytes, metadata + i * kBlockUnits);
    }
    return true;
  }

  static bool check(const std::byte* dense, int64_t blocks) {
    Bytes16 seen = _mm_setzero_si128();
    for (int64_t i = 0; i < blocks; ++i) {
      seen = _mm_or_si128(seen, metadata_of(nonzero_places(dense + i * kDenseBytes)).seen);
    }
    return !has_any(seen, kTooMany);
  }

  static bool check_metadata(const uint8_t* metadata, int64_t blocks) {
    constexpr Nibble16 kInvalid =
        kIsPairs ? invalid_nibbles(kNibbleOfTwoPlaces) : invalid_nibbles(kNibbleOfFourPlaces);
    Bytes16 seen = _mm_setzero_si128();
    for (int64_t i = 0; i < blocks; ++i) {
      const Bytes16 bytes = load_bytes(metadata + i * kBlockUnits);
      seen = _mm_or_si128(seen, look_up(kInvalid, low_nibbles(bytes)));
      seen = _mm_or_si128(seen, look_up(kInvalid, high_nibbles(bytes)));
    }
    return !has_any(seen, 1);
  }

  static void decompress(const std::byte* values, const uint8_t* metadata, int64_t blocks,
                         std::byte* dense) {
    for (int64_t block = 0; block < blocks; ++block) {
      const BlockMask kept = to_mask(kept_masks(load_bytes(metadata + block * kBlockUnits)));
      for (int i = 0; i < kVectors; ++i) {
        const std::byte* half = values + block * kKeptBytes + i * kVectorBytes / 2;
        Cells::store(dense + block * kDenseBytes + i * kVectorBytes,
                     Cells::expand(half, part_of(kept, i)));
      }
    }
  }

  static void prune(const std::byte* dense, int64_t blocks, std::byte* out) {
    for (int64_t i = 0; i < blocks; ++i)
      prune_block(dense + i * kDenseBytes, out + i * kDenseBytes);
  }
};

template <template <typename> typename Simd, typename C>
constexpr BlockKernels block_kernels_of() {
  using Kernel = BlockKernel<Simd, C>;
  BlockKernels kernels{C::kPattern,         C::kDType,
                       &Kernel::compress,   nullptr,
                       &Kernel::check,      &Kernel::check_metadata,
                       &Kernel::decompress, nullptr};
  if constexpr (Kernel::kCanPrune) {
    kernels.compress_prune = &Kernel::compress_prune;
    kernels.prune = &Kernel::prune;
  }
  return kernels;
}

template <template <typename> typename Simd, typename... Codecs>
constexpr auto block_kernel_table(CodecList<Codecs...>) {
  return std::array{block_kernels_of<Simd, Codecs>()...};
}

template <template <typename> typename Simd>
inline constexpr auto kBlockKernels = block_kernel_table<Simd>(BlockCodecs{});

}  // namespace sparse_gemm::format
