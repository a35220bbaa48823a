// How the panel kernels get a row's kept weights: as units of 32 bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/weights.h"

namespace sparse_gemm::cpu {

// A short piece, in whole vectors as far as they go: a call of memcpy takes longer than the copy.
template <int64_t kVector>
SPARSE_GEMM_INLINE void copy_piece(const void* source, int64_t bytes, void* target) {
  const char* from = static_cast<const char*>(source);
  char* to = static_cast<char*>(target);
  int64_t i = 0;
  for (; i + kVector <= bytes; i += kVector) std::memcpy(to + i, from + i, kVector);
  if (i < bytes) std::memcpy(to + i, from + i, static_cast<size_t>(bytes - i));
}

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

// A unit is a pair of the activations' type: as it is stored, or made of weights of 8 or 4 bits.
template <typename Simd, typename T, typename Dense, bool kScaled>
struct PairWeights {
  using Matrix = StoredRows<T>;

  // As in LaneWeights, for pairs made of other types with zeros up to the next whole vector.
  static SPARSE_GEMM_INLINE void unpack(const Matrix& a, int64_t row, int64_t first, int64_t count,
                                        char* units) {
    if constexpr (std::is_same_v<T, Dense>) {
      copy_piece<64>(a.values_at(row, first), count * static_cast<int64_t>(sizeof(T)), units);
    } else {
      constexpr int64_t kVector = 2 * Simd::kLanes;
      const int64_t whole = count / kVector * kVector;
      for (int64_t i = 0; i < whole; i += kVector) convert(a, row, first + i, units + 2 * i);
      if (whole == count) return;
      const typename Matrix::template Tail<1, kVector> tail(a.from_row(row), first + whole);
      convert(tail.matrix, 0, 0, units + 2 * whole);
    }
  }

 private:
  static SPARSE_GEMM_INLINE void convert(const Matrix& a, int64_t row, int64_t i, char* units) {
    using Reader = WeightReader<Simd, T, Dense, kScaled>;
    const auto low = Reader::product(a, row, i);
    const auto high = Reader::product(a, row, i + Simd::kLanes);
    Simd::store_pairs(units, Simd::as_pairs(low, high));
  }
};

}  // namespace sparse_gemm::cpu
