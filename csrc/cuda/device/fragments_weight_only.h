// Operand A of mma.sp.m16n8k32 for weights of 8 or 4 bits and activations of 16: see fragments.h.
//
// 4 bits have a packed order of their own: a lane's 16 bytes hold what its registers of all four
// steps of a tile are made of. 8 bits are packed as the 8-bit instruction wants them, which gives
// lane t of a quad, of every half of a step (8 groups, as many as m16n8k32 takes), groups 2t and
// 2t + 1. Neighbouring lanes exchange one of the two, so that an even lane has even groups and an
// odd lane odd ones:
//
//   lane             0     1     2     3
//   groups packed    0 1   2 3   4 5   6 7
//   exchanged        0 2   1 3   4 6   5 7
//   wanted           0 4   1 5   2 6   3 7
//
// These are the wanted ones if groups 2, 3 and 4, 5 change places: chunks 1 and 2 of B do.
#pragma once

#include <cstdint>

#include "core/multiply.h"
#include "cuda/device/dequantize.h"
#include "cuda/ptx/ld_shared.h"
#include "cuda/ptx/mov.h"
#include "cuda/ptx/prmt.h"
#include "cuda/ptx/shfl.h"
#include "format/packed_order.h"

namespace sparse_gemm::cuda {

// Group scales of a slice of a strip, those of its packed tile.
struct GroupScales {
  uint32_t smem;    // an address in the shared window
  int slice_bytes;  // 0: there are none
  bool need_cast;   // they are of the other 16-bit type, not of B's
};

// Times the scales of its two rows in the group in which step kStep of a tile lies. No branches:
// they would part the main loop's schedule.
template <DType kTo, int kStep>
__device__ __forceinline__ uint4 scaled(const uint4& a, const GroupScales& scales, int lane) {
  constexpr uint32_t kOnes = both(kTo == DType::kFloat16 ? 0x3c00 : 0x3f80);
  constexpr int kGroupBytes = 2 * format::kPackedTileRows;
  constexpr int kLeastGroups = 4;  // of 32 elements: each step has its own
  const bool has_scales = scales.slice_bytes != 0;
  const int group = kStep * scales.slice_bytes / (kLeastGroups * kGroupBytes);
  const int offset = group * kGroupBytes + lane / format::kLanesPerQuad * format::kPackedWordBytes;
  uint32_t rows = ptx::ld_shared_u32_if(has_scales, scales.smem + offset, kOnes);
  if (has_scales && scales.need_cast) rows = cast_pair<kTo>(rows);
  const uint32_t lower = ptx::mov_b32_lower_twice(rows);  // row quad
  const uint32_t upper = ptx::mov_b32_upper_twice(rows);  // row quad + 8
  return make_uint4(multiply_pair<kTo>(a.x, lower), multiply_pair<kTo>(a.y, upper),
                    multiply_pair<kTo>(a.z, lower), multiply_pair<kTo>(a.w, upper));
}

// What the two have in common: four steps of 32 elements of K, and 16 chunks of B.
struct WeightOnlySteps {
  static constexpr int kSteps = 4;
  static constexpr int kBMatrices = 4;
  template <int kStep>
  static constexpr int selector() {
    return kStep % 2;
  }
};

template <Multiply kMultiply>
class NibbleFragments : public WeightOnlySteps {
  static constexpr DType kTo = traits_of(kMultiply).b;

 public:
  template <int kStep>
  static constexpr int b_chunk(int matrix) {
    return kStep * kBMatrices + matrix;
  }

  template <int kStep>
  __device__ __forceinline__ void load(uint32_t values, uint32_t metadata,
                                       const GroupScales& scales, int lane, uint4& a, uint32_t& e) {
    if constexpr (kStep == 0) {
      words_ = ptx::ld_shared_v4_u32(values + lane * sizeof(uint4));
      metadata_ = ptx::ld_shared_v2_u32(metadata + lane * sizeof(uint2));
    }
    const uint32_t word = kStep == 0   ? words_.x
                          : kStep == 1 ? words_.y
                          : kStep == 2 ? words_.z
                                       : words_.w;
    a = scaled<kTo, kStep>(make_uint4(widen_nibbles<kTo, 0>(word), widen_nibbles<kTo, 1>(word),
                                      widen_nibbles<kTo, 2>(word), widen_nibbles<kTo, 3>(word)),
                           scales, lane);
    e = kStep < 2 ? metadata_.x : metadata_.y;
  }

 private:
  uint4 words_;
  uint2 metadata_;
};

template <Multiply kMultiply>
class ByteFragments : public WeightOnlySteps {
  static constexpr DType kFrom = traits_of(kMultiply).a;
  static constexpr DType kTo = traits_of(kMultiply).b;

 public:
  template <int kStep>
  static constexpr int b_chunk(int matrix) {
    return kStep * kBMatrices + matrix % 2 * 2 + matrix / 2;
  }

  template <int kStep>
  __device__ __forceinline__ void load(uint32_t values, uint32_t metadata,
                                       const GroupScales& scales, int lane, uint4& a, uint32_t& e) {
    constexpr int kPackedStep = kStep / 2;
    const bool is_odd = lane % 2 != 0;
    if constexpr (kStep == 0) metadata_ = ptx::ld_shared_v2_u32(metadata + lane * sizeof(uint2));
    if constexpr (kStep % 2 == 0) {
      words_ = ptx::ld_shared_v4_u32(values +
                                     (kPackedStep * format::kLanesPerWarp + lane) * sizeof(uint4));
      e_ = exchanged_metadata(kPackedStep == 0 ? metadata_.x : metadata_.y, is_odd);
    }
    const uint2 bytes = kStep % 2 == 0 ? exchanged(words_.x, words_.y, is_odd)
                                       : exchanged(words_.z, words_.w, is_odd);
    a = scaled<kTo, kStep>(
        make_uint4(widen_bytes<kFrom, kTo, 0>(bytes.x), widen_bytes<kFrom, kTo, 0>(bytes.y),
                   widen_bytes<kFrom, kTo, 1>(bytes.x), widen_bytes<kFrom, kTo, 1>(bytes.y)),
        scales, lane);
    e = e_;
  }

 private:
  // Of both rows at once: an even lane gives away its upper two bytes, an odd one its lower two.
  __device__ __forceinline__ static uint2 exchanged(uint32_t lower_row, uint32_t upper_row,
                                                    bool is_odd) {
    const uint32_t given = ptx::prmt_b32(lower_row, upper_row, is_odd ? 0x5410 : 0x7632);
    const uint32_t taken = ptx::shfl_sync_bfly_b32<1>(given);
    return make_uint2(ptx::prmt_b32(lower_row, taken, is_odd ? 0x3254 : 0x5410),
                      ptx::prmt_b32(upper_row, taken, is_odd ? 0x3276 : 0x7610));
  }

  // Packed, a lane has 8 groups of one row: lanes 0 and 1 of a quad the first half of row quad and
  // of row quad + 8, lanes 2 and 3 the second half. m16n8k32 wants 4 groups of both rows: of the
  // first half in the lanes of selector 0, of the second in those of selector 1. With the groups
  // exchanged as above these are every other two groups: bytes 0 and 2 for even lanes.
  __device__ __forceinline__ static uint32_t exchanged_metadata(uint32_t own, bool is_odd) {
    const uint32_t other = ptx::shfl_sync_bfly_b32<1>(own);
    return ptx::prmt_b32(own, other, is_odd ? 0x3175 : 0x6420);
  }

  uint4 words_;     // of two steps
  uint2 metadata_;  // of all four
  uint32_t e_;      // of two steps
};

}  // namespace sparse_gemm::cuda
