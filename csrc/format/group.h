// Codec: what one group of a pattern stores for one element type. The rest of this room (how a
// matrix is walked, padded and shared among threads) is in span.h.
//
// All of it works on bits: places are unsigned integers, so a value is never changed by moving it,
// not even a signalling nan.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"
#include "core/macros.h"
#include "core/pattern.h"

namespace sparse_gemm::format {

// Users' matrices need not be aligned to their element type.
template <typename T>
SPARSE_GEMM_INLINE T load(const std::byte* source) {
  T value;
  std::memcpy(&value, source, sizeof(T));
  return value;
}
template <typename T>
SPARSE_GEMM_INLINE void store(std::byte* target, T value) {
  std::memcpy(target, &value, sizeof(T));
}

// -------------------------------------------------------------------------------------- places
//
// A place type says how a place is stored, which bits make it non-zero, and its magnitude: an
// integer that orders places as their absolute values do. Nans are equal and above everything.

// Signed-magnitude formats. Below the sign, IEEE 754 bits are ordered as the numbers are;
// `kSmallestNan` is the first pattern above infinity (e4m3fn: above the largest number).
template <DType dtype, typename Bits, Bits kSmallestNan>
struct FloatPlace {
  using Storage = Bits;
  static constexpr DType kDType = dtype;
  static constexpr bool kIsFloat = true;
  static constexpr Bits kNonzeroBits = static_cast<Bits>(-1) >> 1;
  static constexpr Bits kNan = kSmallestNan;
  static constexpr bool is_nonzero(Bits bits) { return (bits & kNonzeroBits) != 0; }
  static constexpr uint32_t magnitude(Bits bits) {
    // Not kNan: on a device the reference that std::min takes of it would be to the host's.
    return std::min<uint32_t>(bits & kNonzeroBits, kSmallestNan);
  }
};

struct Int8Place {
  using Storage = uint8_t;
  static constexpr DType kDType = DType::kInt8;
  static constexpr bool kIsFloat = false;
  static constexpr uint8_t kNonzeroBits = 0xFF;
  static constexpr bool is_nonzero(uint8_t bits) { return bits != 0; }
  static constexpr uint32_t magnitude(uint8_t bits) {
    const int value = static_cast<int8_t>(bits);
    return static_cast<uint32_t>(value < 0 ? -value : value);
  }
};

// One 4-bit integer, as the low half of a byte.
struct Int4Place {
  using Storage = uint8_t;
  static constexpr DType kDType = DType::kInt4x2;
  static constexpr bool is_nonzero(uint8_t bits) { return bits != 0; }
  static constexpr uint32_t magnitude(uint8_t bits) {
    const int value = (bits ^ 8) - 8;
    return static_cast<uint32_t>(value < 0 ? -value : value);
  }
};

// Two 4-bit integers. The sum of their squares orders pairs by their Euclidean norm.
template <DType dtype, bool kIsSigned>
struct PairPlace {
  using Storage = uint8_t;
  static constexpr DType kDType = dtype;
  static constexpr bool kIsFloat = false;
  static constexpr uint8_t kNonzeroBits = 0xFF;
  static constexpr bool is_nonzero(uint8_t bits) { return bits != 0; }
  static constexpr uint32_t magnitude(uint8_t bits) {
    const int low = widen(bits & 0xF);
    const int high = widen(bits >> 4);
    return static_cast<uint32_t>(low * low + high * high);
  }

 private:
  static constexpr int widen(int nibble) { return kIsSigned ? (nibble ^ 8) - 8 : nibble; }
};

using Float32Place = FloatPlace<DType::kFloat32, uint32_t, 0x7F800001u>;
using Float16Place = FloatPlace<DType::kFloat16, uint16_t, uint16_t{0x7C01}>;
using BFloat16Place = FloatPlace<DType::kBFloat16, uint16_t, uint16_t{0x7F81}>;
using Float8E4M3Place = FloatPlace<DType::kFloat8E4M3, uint8_t, uint8_t{0x7F}>;
using Float8E5M2Place = FloatPlace<DType::kFloat8E5M2, uint8_t, uint8_t{0x7D}>;
using Int4PairPlace = PairPlace<DType::kInt4x2, true>;
using UInt4PairPlace = PairPlace<DType::kUInt4x2, false>;

// -------------------------------------------------------------------------------------- nibbles

// Set beside a nibble for a mask with more non-zeros than are kept. No such nibble is stored.
inline constexpr uint8_t kTooMany = 0x10;
// What a group without non-zeros gets, and the spare half of a row's last byte.
inline constexpr uint8_t kZeroGroupNibble = 0xE;

// The nibble for each mask of non-zero places (bit i: place i; the comments show place 0 first).
// Where fewer are non-zero than are kept, the choice is PyTorch's, as made by its
// sparse_semi_structured_from_dense_cutlass.
inline constexpr uint8_t kNibbleOfFourPlaces[16] = {
    kZeroGroupNibble,  // 0000
    0x8,               // 1000
    0x9,               // 0100
    0x4,               // 1100
    0xE,               // 0010
    0x8,               // 1010
    0x9,               // 0110
    kTooMany,          // 1110
    0xE,               // 0001
    0xC,               // 1001
    0xD,               // 0101
    kTooMany,          // 1101
    0xE,               // 0011
    kTooMany,          // 1011
    kTooMany,          // 0111
    kTooMany,          // 1111
};
// In 1:2 a place is as wide as two of four: place 0 is (0, 1) and place 1 is (2, 3).
inline constexpr uint8_t kNibbleOfTwoPlaces[4] = {kZeroGroupNibble, 0x4, 0xE, kTooMany};

// The mask of the places to keep, from the outcome of comparing each place with each later one.
// Bit `match` is set if the later one is larger; matches count up in the order (0,1), (0,2), ...
// A place is kept if fewer than kKept others are stronger. (Some outcomes cannot occur.)
template <int kPlaces, int kKept>
inline constexpr auto kLargestMask = [] {
  std::array<uint8_t, 1 << (kPlaces * (kPlaces - 1) / 2)> masks{};
  for (unsigned later_wins = 0; later_wins < masks.size(); ++later_wins) {
    int num_stronger[kPlaces] = {};
    int match = 0;
    for (int i = 0; i < kPlaces; ++i) {
      for (int j = i + 1; j < kPlaces; ++j) ++num_stronger[later_wins >> match++ & 1 ? i : j];
    }
    for (int i = 0; i < kPlaces; ++i) {
      if (num_stronger[i] < kKept) masks[later_wins] |= static_cast<uint8_t>(1u << i);
    }
  }
  return masks;
}();

// --------------------------------------------------------------------------------------- codecs
//
// What a codec works on is a group as it lies in memory: kCells neighbouring units of kCellBytes,
// which are places, but for NibbleCodec.

// The places that prune keeps: those with the largest magnitudes, of equals the earlier ones.
// Comparisons are gathered as bits, since a branch on any of them would be taken at random.
template <int kPlaces, int kKept>
SPARSE_GEMM_INLINE unsigned largest_mask_of(const uint32_t (&magnitude)[kPlaces]) {
  unsigned later_wins = 0;
  int match = 0;
  for (int i = 0; i < kPlaces; ++i) {
    for (int j = i + 1; j < kPlaces; ++j) {
      later_wins |= static_cast<unsigned>(magnitude[j] > magnitude[i]) << match++;
    }
  }
  return kLargestMask<kPlaces, kKept>[later_wins];
}

template <Pattern pattern, typename PlaceType>
struct Codec {
  using Place = PlaceType;
  using Storage = typename Place::Storage;
  static constexpr Pattern kPattern = pattern;
  static constexpr DType kDType = Place::kDType;
  static constexpr int kPlaces = traits_of(pattern).places;
  static constexpr int kKept = traits_of(pattern).kept_places;
  static constexpr int kCells = kPlaces;
  static constexpr int64_t kCellBytes = sizeof(Storage);
  static constexpr int64_t kGroupBytes = kPlaces * kCellBytes;
  static constexpr int64_t kKeptBytes = kKept * kCellBytes;
  static_assert((kPlaces == 4 && kKept == 2) || (kPlaces == 2 && kKept == 1));

  // Which place a nibble's `slot`-th stored value belongs to.
  static constexpr int stored_place(unsigned nibble, int slot) {
    if constexpr (kKept == 1) return static_cast<int>(nibble & 3) >> 1;
    return static_cast<int>(nibble >> (2 * slot)) & 3;
  }

  static constexpr unsigned nibble_of(unsigned nonzero_mask) {
    if constexpr (kPlaces == 2) return kNibbleOfTwoPlaces[nonzero_mask];
    return kNibbleOfFourPlaces[nonzero_mask];
  }

  static unsigned nonzero_mask(const std::byte* group) {
    unsigned mask = 0;
    for (int i = 0; i < kPlaces; ++i) {
      const bool is_nonzero = Place::is_nonzero(load<Storage>(group + i * kCellBytes));
      mask |= static_cast<unsigned>(is_nonzero) << i;
    }
    return mask;
  }

  static unsigned largest_mask(const std::byte* group) {
    uint32_t magnitude[kPlaces];
    for (int i = 0; i < kPlaces; ++i) {
      magnitude[i] = Place::magnitude(load<Storage>(group + i * kCellBytes));
    }
    return largest_mask_of<kPlaces, kKept>(magnitude);
  }

  // Stores the places that `nibble` names; those that are not in `mask` as +0.
  SPARSE_GEMM_INLINE static void keep(const std::byte* group, unsigned nibble, unsigned mask,
                                      std::byte* values) {
    for (int slot = 0; slot < kKept; ++slot) {
      const int place = stored_place(nibble, slot);
      const auto value = load<Storage>(group + place * kCellBytes);
      store<Storage>(values + slot * kCellBytes, value & all_ones_if(mask >> place & 1));
    }
  }

  // The inverse.
  SPARSE_GEMM_INLINE static void spread(const std::byte* values, unsigned nibble,
                                        std::byte* group) {
    std::memset(group, 0, kGroupBytes);
    for (int slot = 0; slot < kKept; ++slot) {
      const auto value = load<Storage>(values + slot * kCellBytes);
      store(group + stored_place(nibble, slot) * kCellBytes, value);
    }
  }

  // Copies a group, the places that are not in `mask` as +0.
  SPARSE_GEMM_INLINE static void mask_places(const std::byte* group, unsigned mask,
                                             std::byte* out) {
    for (int i = 0; i < kPlaces; ++i) {
      const auto value = load<Storage>(group + i * kCellBytes);
      store<Storage>(out + i * kCellBytes, value & all_ones_if(mask >> i & 1));
    }
  }

 private:
  static constexpr Storage all_ones_if(unsigned bit) { return static_cast<Storage>(0u - bit); }
};

// 2:4 of 4-bit elements: a group is two bytes, what it keeps is one, the first place in the low
// half.
template <typename PlaceType>
struct NibbleCodec {
  using Place = PlaceType;
  static constexpr Pattern kPattern = Pattern::k2of4;
  static constexpr DType kDType = Place::kDType;
  static constexpr int kPlaces = 4;
  static constexpr int kKept = 2;
  using Storage = uint8_t;  // of a cell: two places
  static constexpr int kCells = 2;
  static constexpr int64_t kCellBytes = 1;
  static constexpr int64_t kGroupBytes = 2;
  static constexpr int64_t kKeptBytes = 1;

  static constexpr unsigned nibble_of(unsigned nonzero_mask) {
    return kNibbleOfFourPlaces[nonzero_mask];
  }

  static unsigned nonzero_mask(const std::byte* group) {
    const unsigned bits = bits_of(group);
    unsigned mask = 0;
    for (int i = 0; i < kPlaces; ++i) {
      mask |= static_cast<unsigned>(Place::is_nonzero(place(bits, i))) << i;
    }
    return mask;
  }

  static unsigned largest_mask(const std::byte* group) {
    const unsigned bits = bits_of(group);
    uint32_t magnitude[kPlaces];
    for (int i = 0; i < kPlaces; ++i) magnitude[i] = Place::magnitude(place(bits, i));
    return largest_mask_of<kPlaces, kKept>(magnitude);
  }

  SPARSE_GEMM_INLINE static void keep(const std::byte* group, unsigned nibble, unsigned mask,
                                      std::byte* values) {
    const unsigned bits = bits_of(group) & spread_mask(mask);
    const unsigned first = place(bits, nibble & 3);
    const unsigned second = place(bits, nibble >> 2 & 3);
    *values = static_cast<std::byte>(first | second << 4);
  }

  SPARSE_GEMM_INLINE static void spread(const std::byte* values, unsigned nibble,
                                        std::byte* group) {
    const auto kept = std::to_integer<unsigned>(*values);
    store_bits(group, (kept & 0xF) << 4 * (nibble & 3) | kept >> 4 << 4 * (nibble >> 2 & 3));
  }

  SPARSE_GEMM_INLINE static void mask_places(const std::byte* group, unsigned mask,
                                             std::byte* out) {
    store_bits(out, bits_of(group) & spread_mask(mask));
  }

 private:
  static unsigned bits_of(const std::byte* group) {
    return std::to_integer<unsigned>(group[0]) | std::to_integer<unsigned>(group[1]) << 8;
  }
  static void store_bits(std::byte* group, unsigned bits) {
    group[0] = static_cast<std::byte>(bits & 0xFF);
    group[1] = static_cast<std::byte>(bits >> 8 & 0xFF);
  }
  static constexpr uint8_t place(unsigned bits, unsigned i) { return bits >> 4 * i & 0xF; }
  // 0xF for each place of the mask.
  static constexpr unsigned spread_mask(unsigned mask) {
    return ((mask & 1) | (mask & 2) << 3 | (mask & 4) << 6 | (mask & 8) << 9) * 0xF;
  }
};

// The first of `num_groups` groups with more non-zeros than are kept; num_groups if none has.
template <typename C>
[[gnu::noinline]] int64_t first_violation(const std::byte* groups, int64_t num_groups) {
  int64_t group = 0;
  while (group < num_groups &&
         C::nibble_of(C::nonzero_mask(groups + group * C::kGroupBytes)) != kTooMany) {
    ++group;
  }
  return group;
}

// Every pair of a pattern and a type that can be compressed. This list is the dispatch table.
template <typename... Codecs>
struct CodecList {
  template <typename... More>
  using With = CodecList<Codecs..., More...>;

  static constexpr bool contains(Pattern pattern, DType dtype) {
    return ((Codecs::kPattern == pattern && Codecs::kDType == dtype) || ...);
  }

  // Calls visitor.operator()<Codec>() for the codec of (pattern, dtype).
  template <typename Visitor>
  static void visit(Pattern pattern, DType dtype, Visitor&& visitor) {
    const auto visit_if_it = [&]<typename C>(std::type_identity<C>) {
      const bool is_it = C::kPattern == pattern && C::kDType == dtype;
      if (is_it) visitor.template operator()<C>();
      return is_it;
    };
    (visit_if_it(std::type_identity<Codecs>{}) || ...);
  }
};

// Those whose places are whole bytes: the ones with kernels for blocks.
using BlockCodecs =
    CodecList<Codec<Pattern::k2of4, Float32Place>, Codec<Pattern::k2of4, Float16Place>,
              Codec<Pattern::k2of4, BFloat16Place>, Codec<Pattern::k2of4, Int8Place>,
              Codec<Pattern::k2of4, Float8E4M3Place>, Codec<Pattern::k2of4, Float8E5M2Place>,
              Codec<Pattern::k1of2, Float32Place>, Codec<Pattern::k4of8, Int4PairPlace>,
              Codec<Pattern::k4of8, UInt4PairPlace>>;
using AllCodecs = BlockCodecs::With<NibbleCodec<Int4Place>>;

}  // namespace sparse_gemm::format
