// The form of row_dot that needs BF16: 512 bits of bfloat16 at once. A permutation of two sources
// picks activations of their own width: half the instructions that 32-bit lanes take.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/position_tables.h"
#include "cpu/row_forms.h"
#include "cpu/simd_avx512_bf16.h"

namespace sparse_gemm::cpu {

// bfloat16 activations: pairs of products by vdpbf16ps, which takes subnormal elements for zero and
// rounds each sum to nearest even. Weights of other types become bfloat16 in registers.
template <typename T, bool kScaled>
struct Bf16Form {
  using Simd = Avx512Bf16<float>;
  using Dense = bfloat16;
  using Packed = bfloat16;
  using Matrix = StoredRows<T>;
  using Sum = __m512;
  using Weights = __m512i;
  using Index = __m512i;
  static constexpr int64_t kKept = 32;
  static constexpr Packed kZero{};

  static SPARSE_GEMM_INLINE float first_sum(const Matrix&, int64_t) { return 0; }
  static SPARSE_GEMM_INLINE Sum zero() { return _mm512_setzero_ps(); }

  static SPARSE_GEMM_INLINE Weights weights(const Matrix& a, int64_t row, int64_t i) {
    if constexpr (std::is_same_v<T, bfloat16>) {
      return _mm512_loadu_si512(a.values_at(row, i));
    } else {
      using Reader = WeightReader<Simd, T, Dense, kScaled>;
      return Simd::as_pairs(Reader::product(a, row, i), Reader::product(a, row, i + Simd::kLanes));
    }
  }

  static SPARSE_GEMM_INLINE Index indices(const uint8_t* metadata) {
    static constexpr PositionTables<uint16_t, 32> kTables;
    uint64_t bits;
    std::memcpy(&bits, metadata, sizeof(bits));
    const __m512i shifted = _mm512_multishift_epi64_epi8(
        _mm512_load_si512(kTables.shift), _mm512_set1_epi64(static_cast<int64_t>(bits)));
    return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi16(3),
                                     _mm512_load_si512(kTables.group_start), kOrOfAnd);
  }

  static SPARSE_GEMM_INLINE Sum multiply_add(Weights weights, const Packed* x, Index index,
                                             Sum sum) {
    const __m512i picked =
        _mm512_permutex2var_epi16(_mm512_loadu_si512(x), index, _mm512_loadu_si512(x + kKept));
    return _mm512_dpbf16_ps(sum, (__m512bh)picked, (__m512bh)weights);
  }

  static SPARSE_GEMM_INLINE void pack(const Dense* source, int64_t stride, int64_t count,
                                      Packed* out) {
    copy_line(source, stride, count, out);
  }
};

template <typename T, bool kScaled>
struct RowForm<Avx512Bf16<float>, T, bfloat16, kScaled> : Bf16Form<T, kScaled> {};

}  // namespace sparse_gemm::cpu
