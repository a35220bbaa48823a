// Segment: eight neighbours of D along its contiguous dimension, the unit of the epilogue, and how
// it is read from and written to global memory: 16 bytes at a time where they are contiguous,
// aligned and all within D, else element by element.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/problem.h"
#include "cuda/ptx/cvt.h"

namespace sparse_gemm::cuda {

inline constexpr int kSegmentElems = 8;

// Elements (m + i, n) if along_m, else (m, n + i), i below `count`.
struct Segment {
  int64_t m;
  int64_t n;
  int count;  // that lie within D; the others are neither read nor written
  bool along_m;

  __device__ int64_t offset(const DenseOperand& x) const {
    return m * x.row_stride + n * x.col_stride;
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

// Whether `data` can be read or written as 16-byte vectors.
__device__ __forceinline__ bool is_vector(const void* data, int64_t stride, int count) {
  constexpr uintptr_t kVectorBytes = 16;
  return stride == 1 && count == kSegmentElems &&
         reinterpret_cast<uintptr_t>(data) % kVectorBytes == 0;
}

template <float (*kToFloat)(uint32_t)>
__device__ __forceinline__ void load_16_bit(const uint16_t* data, int64_t stride, int count,
                                            float (&out)[kSegmentElems]) {
  if (is_vector(data, stride, count)) {
    const uint4 words = *reinterpret_cast<const uint4*>(data);
    const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) out[i] = kToFloat(word[i / 2] >> (i % 2 * 16) & 0xFFFF);
  } else {
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) out[i] = i < count ? kToFloat(data[i * stride]) : 0.0f;
  }
}

__device__ __forceinline__ void load_float_vectors(const float* data, float (&out)[kSegmentElems]) {
  const auto* vectors = reinterpret_cast<const float4*>(data);
  const float4 low = vectors[0], high = vectors[1];
  out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
  out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
}

__device__ __forceinline__ void load_float(const float* data, int64_t stride, int count,
                                           float (&out)[kSegmentElems]) {
  if (is_vector(data, stride, count)) {
    load_float_vectors(data, out);
  } else {
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) out[i] = i < count ? data[i * stride] : 0.0f;
  }
}

// out[i] = element offset + i * stride as a float; 0 from `count` on.
__device__ __forceinline__ void load_segment(const void* data, DType dtype, int64_t offset,
                                             int64_t stride, int count,
                                             float (&out)[kSegmentElems]) {
  switch (dtype) {
    case DType::kFloat16:
      return load_16_bit<f16_to_float>(static_cast<const uint16_t*>(data) + offset, stride, count,
                                       out);
    case DType::kBFloat16:
      return load_16_bit<bf16_to_float>(static_cast<const uint16_t*>(data) + offset, stride, count,
                                        out);
    default:
      return load_float(static_cast<const float*>(data) + offset, stride, count, out);
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

__device__ __forceinline__ void store_float(const float (&value)[kSegmentElems], float* data,
                                            int64_t stride, int count) {
  if (is_vector(data, stride, count)) {
    auto* vectors = reinterpret_cast<float4*>(data);
    vectors[0] = make_float4(value[0], value[1], value[2], value[3]);
    vectors[1] = make_float4(value[4], value[5], value[6], value[7]);
  } else {
#pragma unroll
    for (int i = 0; i < kSegmentElems; ++i) {
      if (i < count) data[i * stride] = value[i];
    }
  }
}

// One rounding, to nearest even.
__device__ __forceinline__ void store_segment(const float (&value)[kSegmentElems],
                                              const Segment& at, const DenseOperand& d) {
  const int64_t offset = at.offset(d);
  const int64_t stride = at.stride(d);
  switch (d.dtype) {
    case DType::kFloat16:
      return store_16_bit<ptx::cvt_rn_f16x2_f32>(value, static_cast<uint16_t*>(d.data) + offset,
                                                 stride, at.count);
    case DType::kBFloat16:
      return store_16_bit<ptx::cvt_rn_bf16x2_f32>(value, static_cast<uint16_t*>(d.data) + offset,
                                                  stride, at.count);
    default:
      return store_float(value, static_cast<float*>(d.data) + offset, stride, at.count);
  }
}

}  // namespace sparse_gemm::cuda
