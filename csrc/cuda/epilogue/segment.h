// Segment: eight neighbours of D along its contiguous dimension, the unit of the epilogue, and how
// it is read from and written to global memory: 16 bytes at a time (8 of int8) where they are
// contiguous, aligned and all within D, else element by element.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/problem.h"
#include "cuda/ptx/cvt.h"
#include "cuda/ptx/cvt_pack.h"

namespace sparse_gemm::cuda {

inline constexpr int kSegmentElems = 8;

// Elements (m + i, n) if along_m, else (m, n + i), i below `count`, of one matrix of the batch.
struct Segment {
  int64_t batch;
  int64_t m;
  int64_t n;
  int count;  // that lie within D; the others are neither read nor written
  bool along_m;

  __device__ int64_t offset(const DenseOperand& x) const {
    return batch * x.batch_stride + m * x.row_stride + n * x.col_stride;
  }
  __device__ int64_t stride(const DenseOperand& x) const {
    return along_m ? x.row_stride : x.col_stride;
  }
};

__device__ __forceinline__ float f16_to_float(uint32_t bits) {
  return ptx::cvt_f32_f16(static_cast<uint16_t>(bits));
}
__device__ __forceinline__ float bf16_to_float(uint32_t bits) {
  return __uint_as_float(bits << 16);
}

// Whether `data` can be read or written as vectors.
template <uintptr_t kVectorBytes = 16>
__device__ __forceinline__ bool is_vector(const void* data, int64_t stride, int count) {
  return stride == 1 && count == kSegmentElems &&
         reinterpret_cast<uintptr_t>(data) % kVectorBytes == 0;
}

// Elements as they lie in memory: 8 words, or 4 words with two elements of 16 bits each.
using SegmentWords = uint32_t[kSegmentElems];

__device__ __forceinline__ void load_16_bit(const uint16_t* data, int64_t stride, int count,
                                            SegmentWords& word) {
  if (is_vector(data, stride, count)) {
    const uint4 words = *reinterpret_cast<const uint4*>(data);
    word[0] = words.x, word[1] = words.y, word[2] = words.z, word[3] = words.w;
  } else if (stride == 0) {
#pragma unroll
    for (int i = 0; i < kSegmentElems / 2; ++i) word[i] = data[0] * 0x10001u;
  } else {
#pragma unroll
    for (int i = 0; i < kSegmentElems / 2; ++i) {
      const uint32_t low = 2 * i < count ? data[2 * i * stride] : 0;
      const uint32_t high = 2 * i + 1 < count ? data[(2 * i + 1) * stride] : 0;
      word[i] = low | high << 16;
    }
  }
}

__device__ __forceinline__ void load_32_bit(const uint32_t* data, int64_t stride, int count,
                                            SegmentWords& word) {
  if (is_vector(data, stride, count)) {
    const auto* vectors = reinterpret_cast<const uint4*>(data);
    const uint4 low = vectors[0], high = vectors[1];
    word[0] = low.x, word[1] = low.y, word[2] = low.z, word[3] = low.w;
    word[4] = high.x, word[5] = high.y, word[6] = high.z, word[7] = high.w;
  } else if (stride == 0) {
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) word[i] = data[0];
  } else {
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) word[i] = i < count ? data[i * stride] : 0;
  }
}

// Elements offset + i * stride of floats of any type; 0 from `count` on.
__device__ __forceinline__ void load_segment(const void* data, DType dtype, int64_t offset,
                                             int64_t stride, int count, SegmentWords& word) {
  if (dtype == DType::kFloat32) {
    load_32_bit(static_cast<const uint32_t*>(data) + offset, stride, count, word);
  } else {
    load_16_bit(static_cast<const uint16_t*>(data) + offset, stride, count, word);
  }
}

__device__ __forceinline__ void floats_of(const SegmentWords& word, DType dtype,
                                          float (&out)[kSegmentElems]) {
#pragma unroll
  for (int i = 0; i < kSegmentElems; ++i) {
    const uint32_t half = word[i / 2] >> (i % 2 * 16) & 0xFFFF;
    out[i] = dtype == DType::kFloat32    ? __uint_as_float(word[i])
             : dtype == DType::kBFloat16 ? bf16_to_float(half)
                                         : f16_to_float(half);
  }
}

template <uint32_t (*kToPair)(float, float)>
__device__ __forceinline__ void store_16_bit(const float (&value)[kSegmentElems], uint16_t* data,
                                             int64_t stride, int count) {
  uint32_t word[kSegmentElems / 2];
#pragma unroll
  for (int i = 0; i < kSegmentElems / 2; ++i) word[i] = kToPair(value[2 * i + 1], value[2 * i]);
  if (is_vector(data, stride, count)) {
    *reinterpret_cast<uint4*>(data) = make_uint4(word[0], word[1], word[2], word[3]);
  } else {
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) {
      if (i < count) data[i * stride] = static_cast<uint16_t>(word[i / 2] >> (i % 2 * 16));
    }
  }
}

template <typename Vector, typename T>
__device__ __forceinline__ void store_words(const T (&value)[kSegmentElems], T* data,
                                            int64_t stride, int count) {
  if (is_vector(data, stride, count)) {
    auto* vectors = reinterpret_cast<Vector*>(data);
    vectors[0] = Vector{value[0], value[1], value[2], value[3]};
    vectors[1] = Vector{value[4], value[5], value[6], value[7]};
  } else {
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) {
      if (i < count) data[i * stride] = value[i];
    }
  }
}

// Rounded to nearest even, clamped to the range of int8; nan becomes 0.
__device__ __forceinline__ void store_int8(const float (&value)[kSegmentElems], int8_t* data,
                                           int64_t stride, int count) {
  uint32_t word[kSegmentElems / 4];
#pragma unroll
  for (int i = 0; i < kSegmentElems / 4; ++i) {
    int32_t rounded[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) rounded[j] = __float2int_rn(value[4 * i + j]);
    const uint32_t high = ptx::cvt_pack_sat_s8_s32_b32(rounded[3], rounded[2], 0);
    word[i] = ptx::cvt_pack_sat_s8_s32_b32(rounded[1], rounded[0], high);
  }
  if (is_vector<sizeof(word)>(data, stride, count)) {
    *reinterpret_cast<uint2*>(data) = make_uint2(word[0], word[1]);
  } else {
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) {
      if (i < count) data[i * stride] = static_cast<int8_t>(word[i / 4] >> (i % 4 * 8));
    }
  }
}

// One rounding, to nearest even.
template <bool kMayBeInt8>
__device__ __forceinline__ void store_segment(const float (&value)[kSegmentElems],
                                              const Segment& at, const DenseOperand& d) {
  const int64_t offset = at.offset(d);
  const int64_t stride = at.stride(d);
  if (kMayBeInt8 && d.dtype == DType::kInt8) {
    return store_int8(value, static_cast<int8_t*>(d.data) + offset, stride, at.count);
  }
  switch (d.dtype) {
    case DType::kFloat16:
      return store_16_bit<ptx::cvt_rn_f16x2_f32>(value, static_cast<uint16_t*>(d.data) + offset,
                                                 stride, at.count);
    case DType::kBFloat16:
      return store_16_bit<ptx::cvt_rn_bf16x2_f32>(value, static_cast<uint16_t*>(d.data) + offset,
                                                  stride, at.count);
    default:
      return store_words<float4>(value, static_cast<float*>(d.data) + offset, stride, at.count);
  }
}

// The plain product of integers.
__device__ __forceinline__ void store_segment(const int32_t (&value)[kSegmentElems],
                                              const Segment& at, const DenseOperand& d) {
  store_words<int4>(value, static_cast<int32_t*>(d.data) + at.offset(d), at.stride(d), at.count);
}

}  // namespace sparse_gemm::cuda
