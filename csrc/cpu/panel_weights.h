// How the panel kernels get a row's kept weights: as units of 32 bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/weights.h"

namespace sparse_gemm::cpu {

// A unit is a lane of Simd: what the few-token kernels read, stored for use many times over.
template <typename Simd, typename T, typename Dense, bool kScaled>
struct LaneWeights {
  using Matrix = StoredRows<T>;
  using Reader = WeightReader<Simd, T, Dense, kScaled>;
  using Lane = typename Simd::Lane;

  // Kept values [first, first + count) of a row, first a multiple of kLanes, and zeros up to the
  // next multiple.
  static SPARSE_GEMM_INLINE void unpack(const Matrix& a, int64_t row, int64_t first, int64_t count,
                                        char* units) {
    Lane* out = reinterpret_cast<Lane*>(units);
    const int64_t whole = count / Simd::kLanes * Simd::kLanes;
    for (int64_t i = 0; i < whole; i += Simd::kLanes) {
      Simd::store(out + i, Reader::load(a, row, first + i));
    }
    if (whole == count) return;
    const typename Matrix::template Tail<1, Simd::kLanes> tail(a.from_row(row), first + whole);
    Simd::store(out + whole, Reader::load(tail.matrix, 0, 0));
  }
};

// A unit is one or two pairs, as they are stored.
template <typename T>
struct PairWeights {
  using Matrix = StoredRows<T>;

  static SPARSE_GEMM_INLINE void unpack(const Matrix& a, int64_t row, int64_t first, int64_t count,
                                        char* units) {
    std::memcpy(units, a.values_at(row, first), static_cast<size_t>(count) * sizeof(T));
  }
};

}  // namespace sparse_gemm::cpu
