// Operands as a model has them: N(0, 1) values (integers: quantised ones) and random legal
// metadata. Zeros would draw less power, and so run at higher clocks, than any real product does.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace ceilings {

enum class DataType { kF16, kBf16, kTf32, kE4m3, kS8, kS4 };

struct DataTypeTraits {
  const char* name;
  int bits;      // as stored
  double scale;  // of an integer type: a standard deviation, so that four of them fill its range
};

constexpr DataTypeTraits traits_of(DataType type) {
  switch (type) {
    case DataType::kF16:
      return {"float16", 16, 0};
    case DataType::kBf16:
      return {"bfloat16", 16, 0};
    case DataType::kTf32:
      return {"tfloat32", 32, 0};
    case DataType::kE4m3:
      return {"float8_e4m3", 8, 0};
    case DataType::kS8:
      return {"int8", 8, 32};
    case DataType::kS4:
      return {"int4", 4, 2};
  }
  return {};
}

inline uint32_t quantised(float x, const DataTypeTraits& traits) {
  const int limit = (1 << (traits.bits - 1)) - 1;
  const int q = std::clamp(static_cast<int>(std::lround(x * traits.scale)), -limit, limit);
  return static_cast<uint32_t>(q) & ((1u << traits.bits) - 1);
}

inline uint32_t encode(DataType type, float x) {
  constexpr uint32_t kTf32Mask = ~0u << 13;  // ten of float's 23 mantissa bits stay
  switch (type) {
    case DataType::kF16:
      return __half_raw(__float2half(x)).x;
    case DataType::kBf16:
      return __nv_bfloat16_raw(__float2bfloat16(x)).x;
    case DataType::kTf32: {
      uint32_t bits;
      std::memcpy(&bits, &x, sizeof bits);
      return bits & kTf32Mask;
    }
    case DataType::kE4m3:
      return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
    case DataType::kS8:
    case DataType::kS4:
      return quantised(x, traits_of(type));
  }
  return 0;
}

// N(0, 1) values of a type, packed into words.
inline std::vector<uint32_t> normal_words(DataType type, size_t num_words, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<uint32_t> words(num_words);
  const int bits = traits_of(type).bits;
  for (uint32_t& word : words) {
    for (int shift = 0; shift < 32; shift += bits) word |= encode(type, normal(random)) << shift;
  }
  return words;
}

// Metadata registers: eight groups each, every one of the legal nibbles equally likely.
inline std::vector<uint32_t> legal_metadata(DataType type, size_t num_words, uint32_t seed) {
  constexpr uint32_t kTwoOfFour[] = {0x4, 0x8, 0xC, 0x9, 0xD, 0xE};
  constexpr uint32_t kOneOfTwo[] = {0x4, 0xE};  // tf32
  const bool one_of_two = type == DataType::kTf32;
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> pick(0, one_of_two ? 1 : 5);
  std::vector<uint32_t> words(num_words);
  for (uint32_t& word : words) {
    for (int shift = 0; shift < 32; shift += 4) {
      word |= (one_of_two ? kOneOfTwo : kTwoOfFour)[pick(random)] << shift;
    }
  }
  return words;
}

}  // namespace ceilings
