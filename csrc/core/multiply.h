// Multiply: which operand types a kernel multiplies, and how. One row of kMultiplies each; it is
// what kernels are instantiated for, and what dispatch finds for a Problem.
//
// All mma.sp instructions used take the same bytes: 16 rows by 32 bytes of kept values of A, 64
// bytes of K for each of 8 columns of B, 4 registers each; accumulators are 16 by 8. So types
// differ in how many elements of K a byte is, not in how data moves.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/dtype.h"
#include "core/pattern.h"

namespace sparse_gemm {

// A's type, then B's where it is another; then the accumulator's where it is not the usual one.
enum class Multiply : uint8_t {
  kF16,
  kBF16,
  kF16AccF16,
  kTF32,
  kS8,
  kS4,
  kS4AsS8,  // where mma.sp has no 4-bit form: A repacked as int8, B widened in registers
  kE4M3,
  kE4M3E5M2,
  kE5M2E4M3,
  kE5M2,
  kS8F16,  // weight-only from here on: A becomes B's type in registers
  kS8BF16,
  kE4M3F16,
  kE4M3BF16,
  kE5M2F16,
  kE5M2BF16,
  kS4F16,
  kS4BF16,
};

struct MultiplyTraits {
  std::string_view name;
  Pattern pattern;
  DType a;
  DType b;
  DType accumulator;
  bool weight_only;
  // A stage of a kernel's ring is `stage_k` logical elements of K: `a_tiles` packed tiles of A
  // (format/packed_order.h) and `b_panels` panels of 128 bytes for each column of B.
  int stage_k;
  int a_tiles;
  int b_panels;
};

inline constexpr MultiplyTraits kMultiplies[] = {
    {"f16", Pattern::k2of4, DType::kFloat16, DType::kFloat16, DType::kFloat32, false, 64, 1, 1},
    {"bf16", Pattern::k2of4, DType::kBFloat16, DType::kBFloat16, DType::kFloat32, false, 64, 1, 1},
    {"f16_acc_f16", Pattern::k2of4, DType::kFloat16, DType::kFloat16, DType::kFloat16, false, 64, 1,
     1},
    {"tf32", Pattern::k1of2, DType::kFloat32, DType::kFloat32, DType::kFloat32, false, 32, 1, 1},
    {"s8", Pattern::k2of4, DType::kInt8, DType::kInt8, DType::kInt32, false, 128, 1, 1},
    {"s4", Pattern::k4of8, DType::kInt4x2, DType::kInt4x2, DType::kInt32, false, 256, 1, 1},
    {"s4_as_s8", Pattern::k4of8, DType::kInt4x2, DType::kInt4x2, DType::kInt32, false, 256, 2, 1},
    {"e4m3", Pattern::k2of4, DType::kFloat8E4M3, DType::kFloat8E4M3, DType::kFloat32, false, 128, 1,
     1},
    {"e4m3_e5m2", Pattern::k2of4, DType::kFloat8E4M3, DType::kFloat8E5M2, DType::kFloat32, false,
     128, 1, 1},
    {"e5m2_e4m3", Pattern::k2of4, DType::kFloat8E5M2, DType::kFloat8E4M3, DType::kFloat32, false,
     128, 1, 1},
    {"e5m2", Pattern::k2of4, DType::kFloat8E5M2, DType::kFloat8E5M2, DType::kFloat32, false, 128, 1,
     1},
    {"s8_f16", Pattern::k2of4, DType::kInt8, DType::kFloat16, DType::kFloat32, true, 128, 1, 2},
    {"s8_bf16", Pattern::k2of4, DType::kInt8, DType::kBFloat16, DType::kFloat32, true, 128, 1, 2},
    {"e4m3_f16", Pattern::k2of4, DType::kFloat8E4M3, DType::kFloat16, DType::kFloat32, true, 128, 1,
     2},
    {"e4m3_bf16", Pattern::k2of4, DType::kFloat8E4M3, DType::kBFloat16, DType::kFloat32, true, 128,
     1, 2},
    {"e5m2_f16", Pattern::k2of4, DType::kFloat8E5M2, DType::kFloat16, DType::kFloat32, true, 128, 1,
     2},
    {"e5m2_bf16", Pattern::k2of4, DType::kFloat8E5M2, DType::kBFloat16, DType::kFloat32, true, 128,
     1, 2},
    {"s4_f16", Pattern::k2of4, DType::kInt4x2, DType::kFloat16, DType::kFloat32, true, 128, 1, 2},
    {"s4_bf16", Pattern::k2of4, DType::kInt4x2, DType::kBFloat16, DType::kFloat32, true, 128, 1, 2},
};

inline constexpr int kNumMultiplies = static_cast<int>(sizeof(kMultiplies) / sizeof(*kMultiplies));
static_assert(kNumMultiplies == static_cast<int>(Multiply::kS4BF16) + 1);

// On a device only as the initialiser of a constexpr: a reference into the host's table is a wild
// address there.
constexpr MultiplyTraits traits_of(Multiply multiply) {
  return kMultiplies[static_cast<int>(multiply)];
}
constexpr std::string_view name_of(Multiply multiply) {
  return traits_of(multiply).name;
}

// Compute capability, 10 * major + minor.
inline constexpr int kLeastCapability = 80;  // mma.sp and cp.async came with sm_80

// Whether such devices have the instruction. ptxas makes any other one out of what there is, at a
// price: fp8 on 9.0 and 10.0 of fp16 and kilobytes of local memory, int4 from 9.0 on of int8 and
// some 230 other instructions.
constexpr bool is_native(Multiply multiply, int capability) {
  const MultiplyTraits traits = traits_of(multiply);
  const bool is_fp8 = traits.b == DType::kFloat8E4M3 || traits.b == DType::kFloat8E5M2;
  if (is_fp8) return capability == 89 || capability >= 120;
  if (multiply == Multiply::kS4) return capability >= kLeastCapability && capability < 90;
  return capability >= kLeastCapability;
}

// mma.sp along K of a stage, for each 16 rows and 8 columns: 64 bytes of K of B each.
constexpr int mmas_per_stage(const MultiplyTraits& traits) {
  return traits.weight_only ? 2 * traits.b_panels : 2 * traits.a_tiles;
}

// Packed values and metadata that 16 rows have of a stage: format/packed_order.h, in bytes.
constexpr int stage_strip_bytes(const MultiplyTraits& traits) {
  constexpr int kRows = 16;
  const bool is_2of4_int4 = traits.pattern == Pattern::k2of4 && traits.a == DType::kInt4x2;
  const int64_t groups = num_groups(traits.pattern, traits.stage_k) * traits.a_tiles;
  const int64_t group_bytes =
      is_2of4_int4 ? 1 : traits_of(traits.pattern).kept_places * bytes_of(traits.a);
  return static_cast<int>(kRows * (groups * group_bytes + groups / kGroupsPerMetadataByte));
}
static_assert(stage_strip_bytes(traits_of(Multiply::kF16)) == 1024 + 128);
static_assert(stage_strip_bytes(traits_of(Multiply::kTF32)) == 1024 + 128);
static_assert(stage_strip_bytes(traits_of(Multiply::kS8)) == 1024 + 256);
static_assert(stage_strip_bytes(traits_of(Multiply::kS4)) == 1024 + 256);
static_assert(stage_strip_bytes(traits_of(Multiply::kS4AsS8)) == 2 * (1024 + 256));
static_assert(stage_strip_bytes(traits_of(Multiply::kS4F16)) == 512 + 256);

// Group scales that 16 rows have of a stage.
constexpr int stage_strip_scale_bytes(const MultiplyTraits& traits, int group_size) {
  constexpr int kRows = 16;
  constexpr int kScaleBytes = 2;
  return group_size == 0 ? 0 : kRows * kScaleBytes * traits.stage_k / group_size;
}

}  // namespace sparse_gemm
