// How row_dot multiplies one pair of types: its form.
//
// A form gives: Simd, Dense (the activations' type), Packed (what they are packed as), Matrix (rows
// of A), kKept (kept values of a step), and the operations below. The LaneForm is what every
// instruction set has: both operands become 32-bit lanes. Others are in row_forms_*.h.
#pragma once

#include <cstdint>

#include "cpu/pack.h"
#include "cpu/weights.h"

namespace sparse_gemm::cpu {

template <typename SimdType, typename T, typename DenseType, bool kScaled>
struct LaneForm {
  using Simd = SimdType;
  using Dense = DenseType;
  using Packed = typename Simd::Lane;
  using Matrix = StoredRows<T>;
  using Sum = typename Simd::Vector;
  using Weights = typename Simd::Vector;
  using Reader = WeightReader<Simd, T, Dense, kScaled>;
  static constexpr int64_t kKept = Simd::kLanes;
  static constexpr Packed kZero{};  // what a zero is packed as

  // What a row's sums begin with.
  static SPARSE_GEMM_INLINE Packed first_sum(const Matrix&, int64_t) { return 0; }
  static SPARSE_GEMM_INLINE Sum zero() { return Simd::zero(); }
  static SPARSE_GEMM_INLINE Weights weights(const Matrix& a, int64_t row, int64_t i) {
    return Reader::load(a, row, i);
  }
  static SPARSE_GEMM_INLINE auto indices(const uint8_t* metadata) {
    return Simd::indices(metadata);
  }
  // sum + weights * the activations at the positions `index`, out of the 2 * kKept at x.
  static SPARSE_GEMM_INLINE Sum multiply_add(Weights weights, const Packed* x,
                                             typename Simd::Index index, Sum sum) {
    return Simd::multiply_add(weights, Simd::select(x, index), sum);
  }

  static SPARSE_GEMM_INLINE void pack(const Dense* source, int64_t stride, int64_t count,
                                      Packed* out) {
    widen_line<Simd>(source, stride, count, out);
  }
};

// The form of a pair of types on an instruction set: specialised where there is a better one.
template <typename Simd, typename T, typename Dense, bool kScaled>
struct RowForm : LaneForm<Simd, T, Dense, kScaled> {};

}  // namespace sparse_gemm::cpu
