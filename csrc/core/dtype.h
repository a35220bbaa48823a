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
  bool is_floating_point;
};

inline constexpr DTypeTraits kDTypeTraits[kNumDTypes] = {
    {"float32", 4, true}, {"float16", 2, true},       {"bfloat16", 2, true},
    {"int8", 1, false},   {"float8_e4m3fn", 1, true}, {"float8_e5m2", 1, true},
    {"int32", 4, false},  {"int4", 1, false},         {"uint4", 1, false},
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
