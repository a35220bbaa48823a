// The forms of row_dot and row_block that need BF16, VBMI and VNNI: 512 bits of bfloat16 or int8 at
// once.
//
// A step's metadata becomes positions by one multishift, which takes each kept value's two bits
// (and six that are masked off, or ignored) to its lane, and a permutation of two sources, in
// row_block of one, picks activations of their own width: half or a quarter of the instructions
// that 32-bit lanes take.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/row_block.h"
#include "cpu/row_forms.h"
#include "cpu/simd_avx512_bf16.h"

namespace sparse_gemm::cpu {

// Byte or word i of a step, which kRows rows share: where its two bits of metadata are, and where
// its group begins.
template <typename Lane, int kLanes, int kRows = 1>
struct PositionTables {
  alignas(64) Lane shift[kLanes];
  alignas(64) Lane group_start[kLanes];

  constexpr PositionTables() : shift(), group_start() {
    constexpr int kPerQword = 32;  // kept values whose metadata is 64 bits
    for (int i = 0; i < kLanes; ++i) {
      shift[i] = static_cast<Lane>(2 * (i % kPerQword));
      group_start[i] = static_cast<Lane>(i % (kLanes / kRows) / 2 * 4);
    }
  }
};

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

// int8 by int8: quads of products by vpdpbusd, whose first operand is unsigned. Activations are
// packed with 128 added; a row's sums begin with -128 times the sum of its weights. Sums are exact:
// what wraps in between wraps back.
struct Int8Form {
  using Simd = Avx512Bf16<int32_t>;
  using Dense = int8_t;
  using Packed = uint8_t;
  using Matrix = StoredRows<int8_t>;
  // Not __m512i, whose elements are of 64 bits: GCC 12 would copy each sum twice for each product,
  // and keep some of them in memory.
  typedef int32_t Sum __attribute__((vector_size(64), aligned(64)));
  using Weights = __m512i;
  using Index = __m512i;
  static constexpr int64_t kKept = 64;
  static constexpr int kOffset = 128;
  static constexpr Packed kZero = kOffset;

  static SPARSE_GEMM_INLINE int32_t first_sum(const Matrix& a, int64_t row) {
    return Simd::first_sum(a.values_at(row, 0), a.kept);
  }
  static SPARSE_GEMM_INLINE Sum zero() { return Sum{}; }
  static SPARSE_GEMM_INLINE Weights weights(const Matrix& a, int64_t row, int64_t i) {
    return _mm512_loadu_si512(a.values_at(row, i));
  }
  static SPARSE_GEMM_INLINE Index indices(const uint8_t* metadata) {
    int64_t bits[2];
    std::memcpy(bits, metadata, sizeof(bits));
    return indices_of<1>(bits);
  }
  // bits: of the lower half's 32 kept values, and of the upper half's.
  template <int kRows>
  static SPARSE_GEMM_INLINE Index indices_of(const int64_t (&bits)[2]) {
    static constexpr PositionTables<uint8_t, 64, kRows> kTables;
    constexpr __mmask8 kUpperQwords = 0xF0;
    const __m512i source =
        _mm512_mask_set1_epi64(_mm512_set1_epi64(bits[0]), kUpperQwords, bits[1]);
    const __m512i shifted = _mm512_multishift_epi64_epi8(_mm512_load_si512(kTables.shift), source);
    return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi8(3),
                                     _mm512_load_si512(kTables.group_start), kOrOfAnd);
  }
  static SPARSE_GEMM_INLINE Sum multiply_add(Weights weights, const Packed* x, Index index,
                                             Sum sum) {
    const __m512i picked =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(x), index, _mm512_loadu_si512(x + kKept));
    return (Sum)_mm512_dpbusd_epi32((__m512i)sum, picked, weights);
  }

  static SPARSE_GEMM_INLINE void pack(const Dense* source, int64_t stride, int64_t count,
                                      Packed* out) {
    if (stride == 1) {
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(source[i] + kOffset);
    } else {
      for (int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<uint8_t>(source[i * stride] + kOffset);
      }
    }
  }
};

template <typename T, bool kScaled>
struct RowForm<Avx512Bf16<float>, T, bfloat16, kScaled> : Bf16Form<T, kScaled> {};
template <>
struct RowForm<Avx512Bf16<int32_t>, int8_t, int8_t, false> : Int8Form {};

template <>
struct TwoRowsForm<Avx512Bf16<int32_t>, int8_t> : Int8Form {
  static constexpr int64_t kKept = 32;  // of each

  static SPARSE_GEMM_INLINE __m512i load(const char* source) { return _mm512_load_si512(source); }
  static SPARSE_GEMM_INLINE void store(char* target, __m512i halves) {
    _mm512_store_si512(target, halves);
  }

  static SPARSE_GEMM_INLINE Weights weights(const Matrix& low, const Matrix& high, int64_t i) {
    const auto half = [i](const Matrix& a) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.values_at(0, i)));
    };
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(low)), half(high), 1);
  }
  static SPARSE_GEMM_INLINE __m512i indices(const Matrix& low, const Matrix& high, int64_t i) {
    int64_t bits[2];
    std::memcpy(&bits[0], low.metadata_at(0, i), sizeof(bits[0]));
    std::memcpy(&bits[1], high.metadata_at(0, i), sizeof(bits[1]));
    return indices_of<2>(bits);
  }
  static SPARSE_GEMM_INLINE Sum multiply_add(Weights weights, __m512i index, const Packed* x,
                                             Sum sum) {
    const __m512i picked = _mm512_permutexvar_epi8(index, _mm512_load_si512(x));
    return (Sum)_mm512_dpbusd_epi32((__m512i)sum, picked, weights);
  }
  // Adds the lower halves of four vectors to four numbers, the upper ones to four others.
  static SPARSE_GEMM_INLINE void add_up(const Sum (&sums)[4], int32_t* low, int32_t* high) {
    const __m512i v[4] = {(__m512i)sums[0], (__m512i)sums[1], (__m512i)sums[2], (__m512i)sums[3]};
    const __m512i quads = Simd::add_up_quarters(v);
    add_to(low, _mm512_castsi512_si128(quads), _mm512_extracti32x4_epi32(quads, 1));
    add_to(high, _mm512_extracti32x4_epi32(quads, 2), _mm512_extracti32x4_epi32(quads, 3));
  }

 private:
  static SPARSE_GEMM_INLINE void add_to(int32_t* four, __m128i a, __m128i b) {
    auto* sums = reinterpret_cast<__m128i*>(four);
    _mm_storeu_si128(sums, _mm_add_epi32(_mm_loadu_si128(sums), _mm_add_epi32(a, b)));
  }
};

}  // namespace sparse_gemm::cpu
