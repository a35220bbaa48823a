// 8-bit and 4-bit weights as pairs of 16-bit floats, in few instructions and exactly: every int4,
// int8, e4m3 and e5m2 is a value of fp16 and of bf16, subnormals, infinities and nans included.
// Then times the scale of their group, rounded once, in the type of the activations.
//
// Integers: a float of 2^10 (fp16) or 2^7 (bf16) whose significand ends in the bits of the number
// plus a bias is both together, and a subtraction leaves the number.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "cuda/device/capability.h"
#include "cuda/ptx/add.h"
#include "cuda/ptx/cvt.h"
#include "cuda/ptx/fma.h"
#include "cuda/ptx/lop3.h"
#include "cuda/ptx/prmt.h"

namespace sparse_gemm::cuda {

// A 16-bit number in both halves.
constexpr uint32_t both(uint16_t bits) {
  return bits * 0x10001u;
}

// The bits of `word` in `mask`, on top of (or, where the two meet, flipping) those of `base`.
__device__ __forceinline__ uint32_t masked_on(uint32_t word, uint32_t mask, uint32_t base) {
  return ptx::lop3_b32<(ptx::kLop3X & ptx::kLop3Y) ^ ptx::kLop3Z>(word, mask, base);
}

template <DType kTo>
__device__ __forceinline__ uint32_t fma_pair(uint32_t x, uint32_t y, uint32_t z) {
  if constexpr (kTo == DType::kFloat16) return ptx::fma_rn_f16x2(x, y, z);
  return ptx::fma_rn_bf16x2(x, y, z);
}

// x * y, rounded once: a sum with -0 changes no product, not even 0 and -0.
template <DType kTo>
__device__ __forceinline__ uint32_t multiply_pair(uint32_t x, uint32_t y) {
  return fma_pair<kTo>(x, y, both(0x8000));
}

// Two neighbouring bytes of a word, the lower or the upper two, as the upper or the lower bytes of
// a pair. The others are zero.
template <int kHalf>
__device__ __forceinline__ uint32_t spread_to_upper(uint32_t word) {
  return ptx::prmt_b32(word, 0, kHalf == 0 ? 0x1404 : 0x3424);
}
template <int kHalf>
__device__ __forceinline__ uint32_t spread_to_lower(uint32_t word) {
  return ptx::prmt_b32(word, 0, kHalf == 0 ? 0x4140 : 0x4342);
}

// ------------------------------------------------------------------------------------------- int8

template <DType kTo, int kHalf>
__device__ __forceinline__ uint32_t widen_int8(uint32_t word) {
  const uint32_t spread = spread_to_lower<kHalf>(word);
  if constexpr (kTo == DType::kFloat16) {
    return ptx::add_rn_f16x2(spread ^ both(0x6480), both(0xe480));  // - (1024 + 128)
  } else {
    // Seven bits fit behind 2^7 = 0x4300. The eighth, which counts -128, is the last one of the
    // exponent: with it the number is 2^8.
    const uint32_t low = masked_on(spread, both(0x007f), both(0x4300));   // 128 + 0..127
    const uint32_t high = masked_on(spread, both(0x0080), both(0xc300));  // -128 or -256
    return ptx::fma_rn_bf16x2(low, both(0x3f80), high);
  }
}

// -------------------------------------------------------------------------------------------- fp8

// fp16 as bf16, where bf16 has the value.
__device__ __forceinline__ uint32_t bf16_of_f16(uint32_t pair) {
  const float low = ptx::cvt_f32_f16(static_cast<uint16_t>(pair));
  const float high = ptx::cvt_f32_f16(static_cast<uint16_t>(pair >> 16));
  return ptx::prmt_b32(__float_as_uint(low), __float_as_uint(high), 0x7632);
}

// Exponent and significand are moved to where kTo has them, which makes numbers 2^-8 or 2^-120 of
// what they are; subnormals need no care then. All ones is the nan, and would be 480: times 1.125
// and a power of two that is infinite and 448 is not, and infinity times 0 is nan.
template <DType kTo, int kHalf>
__device__ __forceinline__ uint32_t widen_e4m3_by_bits(uint32_t word) {
  constexpr bool kF16 = kTo == DType::kFloat16;
  constexpr int kShift = kF16 ? 1 : 4;
  constexpr uint32_t kMagnitude = both(0x7f00 >> kShift);
  constexpr uint32_t kRest = both(kF16 ? 0x5c00 : 0x7b80);      // 2^8, 2^120
  constexpr uint32_t kOverflow = both(kF16 ? 0x5880 : 0x7b10);  // 1.125 times 2^7, 2^119
  const uint32_t spread = spread_to_upper<kHalf>(word);
  const uint32_t moved = masked_on(spread, both(0x8000), spread >> kShift & kMagnitude);
  const uint32_t value = multiply_pair<kTo>(moved, kRest);
  return fma_pair<kTo>(multiply_pair<kTo>(value, kOverflow), 0, value);
}

template <DType kTo, int kHalf>
__device__ __forceinline__ uint32_t widen_e4m3(uint32_t word) {
  if constexpr (kCapability >= 89) {
    const uint32_t pair =
        kHalf == 0 ? ptx::cvt_rn_f16x2_e4m3x2_lower(word) : ptx::cvt_rn_f16x2_e4m3x2_upper(word);
    return kTo == DType::kFloat16 ? pair : bf16_of_f16(pair);
  } else {
    return widen_e4m3_by_bits<kTo, kHalf>(word);
  }
}

// The upper byte of an fp16 is an e5m2.
template <DType kTo, int kHalf>
__device__ __forceinline__ uint32_t widen_e5m2(uint32_t word) {
  const uint32_t pair = spread_to_upper<kHalf>(word);
  return kTo == DType::kFloat16 ? pair : bf16_of_f16(pair);
}

// Bytes 0 and 1 of a word, or 2 and 3, as a pair of kTo.
template <DType kFrom, DType kTo, int kHalf>
__device__ __forceinline__ uint32_t widen_bytes(uint32_t word) {
  static_assert(kTo == DType::kFloat16 || kTo == DType::kBFloat16);
  if constexpr (kFrom == DType::kInt8) {
    return widen_int8<kTo, kHalf>(word);
  } else if constexpr (kFrom == DType::kFloat8E4M3) {
    return widen_e4m3<kTo, kHalf>(word);
  } else {
    static_assert(kFrom == DType::kFloat8E5M2);
    return widen_e5m2<kTo, kHalf>(word);
  }
}

// ------------------------------------------------------------------------------------------- int4

// Nibbles kNibble and kNibble + 4 of a word as a pair of kTo.
template <DType kTo, int kNibble>
__device__ __forceinline__ uint32_t widen_nibbles(uint32_t word) {
  constexpr uint32_t kNibbles = both(0x000f);
  if constexpr (kTo == DType::kBFloat16) {
    const uint32_t biased = masked_on(word >> 4 * kNibble, kNibbles, both(0x4308));
    return ptx::fma_rn_bf16x2(biased, both(0x3f80), both(0xc308));  // - (128 + 8)
  } else if constexpr (kNibble % 2 == 0) {
    const uint32_t biased = masked_on(word >> 4 * kNibble, kNibbles, both(0x6408));
    return ptx::add_rn_f16x2(biased, both(0xe408));  // - (1024 + 8)
  } else {
    // Sixteen times the number fits as well, and saves a shift.
    const uint32_t biased = masked_on(word >> 4 * (kNibble - 1), kNibbles << 4, both(0x6480));
    return ptx::fma_rn_f16x2(biased, both(0x2c00), both(0xd480));  // / 16, - (64 + 8)
  }
}

// ----------------------------------------------------------------------------------------- scales

// A pair of the other 16-bit float type as kTo, rounded to nearest even.
template <DType kTo>
__device__ __forceinline__ uint32_t cast_pair(uint32_t pair) {
  if constexpr (kTo == DType::kFloat16) {
    return ptx::cvt_rn_f16x2_f32(__uint_as_float(pair & 0xffff0000u), __uint_as_float(pair << 16));
  } else {
    return ptx::cvt_rn_bf16x2_f32(ptx::cvt_f32_f16(static_cast<uint16_t>(pair >> 16)),
                                  ptx::cvt_f32_f16(static_cast<uint16_t>(pair)));
  }
}

}  // namespace sparse_gemm::cuda
