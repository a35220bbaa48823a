// DType: every element type the package knows, and how wide it is.
#pragma once

#include <cstdint>
#include <string_view>

namespace sparse_gemm {

enum class DType : uint8_t {
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt8,
  kFloat8E4M3,
  kFloat8E5M2,
  kInt32,
  kInt4x2,   // two int4 in a byte, low nibble first
  kUInt4x2,  // two uint4 in a byte, low nibble first
};

inline constexpr int kNumDTypes = 9;

struct DTypeTraits {
  std::string_view name;  // the name NumPy, ml_dtypes and torch give it
  int bytes;              // of the smallest addressable unit: an element, or a pair of 4-bit ones
};

inline constexpr DTypeTraits kDTypeTraits[kNumDTypes] = {
    {"float32", 4},     {"float16", 2}, {"bfloat16", 2}, {"int8", 1},  {"float8_e4m3fn", 1},
    {"float8_e5m2", 1}, {"int32", 4},   {"int4", 1},     {"uint4", 1},
};

constexpr const DTypeTraits& traits_of(DType dtype) {
  return kDTypeTraits[static_cast<int>(dtype)];
}
constexpr std::string_view name_of(DType dtype) {
  return traits_of(dtype).name;
}
constexpr int bytes_of(DType dtype) {
  return traits_of(dtype).bytes;
}

}  // namespace sparse_gemm
