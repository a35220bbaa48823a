// Operand A of mma.sp for a warp: the registers and the metadata of one step, out of a strip's
// packed tiles of a stage in shared memory; and the registers of B that go with it.
//
//   types of one width    what a lane loads is what the instruction takes: 16 bytes a step. The
//                         instruction would drop fp32's last 13 bits: here they are rounded
//   int4 as int8          the same for A (it was repacked); B's nibbles are widened to bytes
//   weight-only           A becomes B's type in registers (device/fragments_weight_only.h)
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/multiply.h"
#include "cuda/device/fragments_weight_only.h"
#include "cuda/ptx/cvt.h"
#include "cuda/ptx/ld_shared.h"
#include "format/packed_order.h"

namespace sparse_gemm::cuda {

template <Multiply kMultiply>
inline constexpr format::PackedTraits kPackedOf =
    format::packed_traits(format::packed_type_of(kMultiply));

// Of types that the instruction takes as they are packed.
template <Multiply kMultiply>
class NativeFragments {
  static constexpr bool kWidensB = kMultiply == Multiply::kS4AsS8;
  static constexpr int kStepsPerTile = kPackedOf<kMultiply>.num_steps;
  static constexpr int kStepsPerWord = kPackedOf<kMultiply>.order.num_selectors();
  static constexpr int kTiles = kPackedOf<kMultiply>.tiles_at_once;

 public:
  static constexpr int kSteps = kTiles * kStepsPerTile;  // mma.sp along K in a stage
  static constexpr int kBMatrices = kWidensB ? 2 : 4;    // that ldmatrix loads for a step

  template <int kStep>
  static constexpr int selector() {
    return kStep % kStepsPerWord;
  }
  // Which 16 bytes of a column's panels matrix `matrix` of ldmatrix is.
  template <int kStep>
  static constexpr int b_chunk(int matrix) {
    return kStep * kBMatrices + matrix;
  }

  // Steps in ascending order: what two steps share is kept. `values` and `metadata`: addresses of
  // the strip's in the shared window.
  template <int kStep>
  __device__ __forceinline__ void load(uint32_t values, uint32_t metadata, const GroupScales&,
                                       int lane, uint4& a, uint32_t& e) {
    a = ptx::ld_shared_v4_u32(values + (kStep * format::kLanesPerWarp + lane) * sizeof(uint4));
    if constexpr (kMultiply == Multiply::kTF32) {
      a = make_uint4(ptx::cvt_rna_tf32_f32(a.x), ptx::cvt_rna_tf32_f32(a.y),
                     ptx::cvt_rna_tf32_f32(a.z), ptx::cvt_rna_tf32_f32(a.w));
    }
    if constexpr (kStepsPerWord == kStepsPerTile) {
      if constexpr (kStep == 0)
        metadata_.x = ptx::ld_shared_u32(metadata + lane * sizeof(uint32_t));
      e = metadata_.x;
    } else {
      constexpr int kTile = kStep / kStepsPerTile;
      if constexpr (kStep % kStepsPerTile == 0) {
        metadata_ = ptx::ld_shared_v2_u32(metadata +
                                          (kTile * format::kLanesPerWarp + lane) * sizeof(uint2));
      }
      e = kStep % kStepsPerTile == 0 ? metadata_.x : metadata_.y;
    }
  }

 private:
  uint2 metadata_;
};

template <Multiply kMultiply>
using AFragments =
    std::conditional_t<!traits_of(kMultiply).weight_only, NativeFragments<kMultiply>,
                       std::conditional_t<traits_of(kMultiply).a == DType::kInt4x2,
                                          NibbleFragments<kMultiply>, ByteFragments<kMultiply>>>;

// The registers of B, out of those that ldmatrix has loaded.
template <Multiply kMultiply>
__device__ __forceinline__ void prepare_b(
    const uint32_t (&loaded)[AFragments<kMultiply>::kBMatrices], uint32_t (&b)[4]) {
  if constexpr (kMultiply == Multiply::kS4AsS8) {
    // Pairs of 4-bit elements as bytes: sixteen times their value, first all even elements of 16
    // bytes, then all odd ones, as format::pairs_as_8_bit has permuted A.
    constexpr uint32_t kHighNibbles = 0xf0f0f0f0u;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      b[2 * i] = loaded[i] << format::kBitsPerNibble & kHighNibbles;
      b[2 * i + 1] = loaded[i] & kHighNibbles;
    }
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      b[i] = kMultiply == Multiply::kTF32 ? ptx::cvt_rna_tf32_f32(loaded[i]) : loaded[i];
    }
  }
}

}  // namespace sparse_gemm::cuda
