// Weights: the kept values of rows of A, as the kernels read them, of any storage type.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/numeric.h"
#include "core/pattern.h"
#include "core/problem.h"

namespace sparse_gemm::cpu {

// Kept values in one T, the unit of storage.
template <typename T>
inline constexpr int kPerUnit = 1;
template <>
inline constexpr int kPerUnit<int4x2> = 2;

inline constexpr int64_t kMinGroupSize = 32;  // of elements of K with a scale of their own

// Rows of A from row m on: values as T, metadata, and scales where there are any.
template <typename T>
struct StoredRows {
  const T* values;
  const uint8_t* metadata;
  const uint16_t* scales;  // float16 or bfloat16 bits, one for each 2^scale_shift kept values
  int64_t kept;            // kept values of a row
  int64_t values_stride;   // from row to row, in T
  int64_t metadata_stride;
  int64_t scales_stride;
  int scale_shift;
  DType scale_dtype;

  StoredRows() = default;
  SPARSE_GEMM_INLINE StoredRows(const Problem& problem, int64_t m) {
    const SparseOperand& a = problem.a;
    kept = k_compressed(a.pattern, problem.k);
    values_stride = kept / kPerUnit<T>;
    metadata_stride = metadata_row_bytes(a.pattern, problem.k);
    scales_stride = a.group_size == 0 ? 0 : ceil_div(problem.k, a.group_size);
    scale_shift = a.group_size == 0 ? 0 : std::countr_zero(static_cast<uint32_t>(a.group_size / 2));
    scale_dtype = a.group_scale_dtype;
    values = static_cast<const T*>(a.values) + m * values_stride;
    metadata = a.metadata + m * metadata_stride;
    scales = static_cast<const uint16_t*>(a.group_scales);
    if (scales != nullptr) scales += m * scales_stride;
  }

  SPARSE_GEMM_INLINE StoredRows from_row(int64_t row) const {
    StoredRows rest = *this;
    rest.values += row * values_stride;
    rest.metadata += row * metadata_stride;
    if (scales != nullptr) rest.scales += row * scales_stride;
    return rest;
  }

  // Brings `count` kept values from `first` on, and their metadata, into L2. A piece may begin
  // within a line that the one before it has brought: what counts is the line where it ends.
  SPARSE_GEMM_INLINE void prefetch(int64_t row, int64_t first, int64_t count) const {
    constexpr int64_t kCacheLine = 64;
    const auto* begin = reinterpret_cast<const char*>(values_at(row, first));
    const int64_t bytes = count / kPerUnit<T> * static_cast<int64_t>(sizeof(T));
    for (int64_t i = bytes - 1; i >= 0; i -= kCacheLine) __builtin_prefetch(begin + i, 0, 2);
    const uint8_t* metadata = metadata_at(row, first);
    for (int64_t i = count / 4 - 1; i >= 0; i -= kCacheLine) __builtin_prefetch(metadata + i, 0, 2);
  }

  SPARSE_GEMM_INLINE const T* values_at(int64_t row, int64_t i) const {
    return values + row * values_stride + i / kPerUnit<T>;
  }
  SPARSE_GEMM_INLINE const uint8_t* metadata_at(int64_t row, int64_t i) const {
    return metadata + row * metadata_stride + i / 4;
  }
  SPARSE_GEMM_INLINE const uint16_t* scale_at(int64_t row, int64_t i) const {
    return scales + row * scales_stride + (i >> scale_shift);
  }

  // What R rows have from kept value `begin` on, fewer than kKept of them, filled up with zeros.
  template <int R, int64_t kKept>
  struct Tail {
    alignas(64) T values[R][kKept / kPerUnit<T>] = {};
    uint8_t metadata[R][(kKept + 3) / 4] = {};
    static constexpr int64_t kMaxScales = std::max<int64_t>(kKept / (kMinGroupSize / 2), 1);
    uint16_t scales[R][kMaxScales] = {};
    StoredRows matrix;

    SPARSE_GEMM_INLINE Tail(const StoredRows& rows, int64_t begin) : matrix(rows) {
      for (int r = 0; r < R; ++r) {
        std::memcpy(values[r], rows.values_at(r, begin),
                    static_cast<size_t>(rows.values_stride - begin / kPerUnit<T>) * sizeof(T));
        std::memcpy(metadata[r], rows.metadata_at(r, begin),
                    static_cast<size_t>(rows.metadata_stride - begin / 4));
      }
      matrix.values = values[0];
      matrix.metadata = metadata[0];
      matrix.values_stride = kKept / kPerUnit<T>;
      matrix.metadata_stride = sizeof(metadata[0]);
      if (rows.scales == nullptr) return;
      const int64_t num_scales =
          std::min(kMaxScales, rows.scales_stride - (begin >> rows.scale_shift));
      for (int r = 0; r < R; ++r) {
        std::memcpy(scales[r], rows.scale_at(r, begin),
                    static_cast<size_t>(num_scales) * sizeof(uint16_t));
      }
      matrix.scales = scales[0];
      matrix.scales_stride = kMaxScales;
    }
  };
};

// Kept values of T as lanes of Simd. Scaled: multiplied by the scale of their group, both the scale
// and the product rounded to Dense, the type of the activations.
template <typename Simd, typename T, typename Dense, bool kScaled>
struct WeightReader {
  using Vector = typename Simd::Vector;

  // Kept values [i, i + kLanes) of a row; i is a multiple of kLanes.
  static SPARSE_GEMM_INLINE Vector load(const StoredRows<T>& a, int64_t row, int64_t i) {
    const Vector weights = product(a, row, i);
    if constexpr (kScaled) return round_to<Dense>(weights);
    return weights;
  }
  // The same, not yet rounded to Dense.
  static SPARSE_GEMM_INLINE Vector product(const StoredRows<T>& a, int64_t row, int64_t i) {
    const Vector weights = Simd::widen(a.values_at(row, i));
    if constexpr (kScaled) return Simd::multiply(weights, scale(a, row, i));
    return weights;
  }

 private:
  static SPARSE_GEMM_INLINE Vector scale(const StoredRows<T>& a, int64_t row, int64_t i) {
    const uint16_t* bits = a.scale_at(row, i);
    return a.scale_dtype == DType::kFloat16 ? scale_of<float16>(bits) : scale_of<bfloat16>(bits);
  }
  template <typename Stored>
  static SPARSE_GEMM_INLINE Vector scale_of(const uint16_t* bits) {
    const Vector value = Simd::broadcast_widened(reinterpret_cast<const Stored*>(bits));
    if constexpr (std::is_same_v<Stored, Dense>) return value;
    return round_to<Dense>(value);
  }
  template <typename Type>
  static SPARSE_GEMM_INLINE Vector round_to(Vector value) {
    if constexpr (std::is_same_v<Type, float16>) return Simd::round_to_float16(value);
    if constexpr (std::is_same_v<Type, bfloat16>) return Simd::round_to_bfloat16(value);
    return value;
  }
};

}  // namespace sparse_gemm::cpu
