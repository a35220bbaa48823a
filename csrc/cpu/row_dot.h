// row_dot: few tokens. Vectors run along K.
//
// A task computes `tile_m` rows of A for all tokens, kRows rows and kTokens tokens at a time.
// Values and metadata are streamed once, in their canonical order, and a step takes kKept kept
// values of a row: their metadata becomes a vector of positions, a permutation picks the
// activations at these positions out of 2 * kKept, and a multiplication adds the products to kLanes
// sums. The pruned weights cost nothing; a step's positions and weights serve kTokens tokens, its
// activations kRows rows. How that is done for a type is its form's matter (row_forms.h).
//
// A row is a stream of a few KiB, too short for hardware that learns streams: the rows to come are
// prefetched into L2.
//
// Packed activations: blocks of kTokens tokens (the last one: of as many as there are), each
// [step][token][2 * kKept], so that a block is read from front to back whatever K is; zeros from K
// on.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "core/plan.h"
#include "cpu/epilogue.h"
#include "cpu/kernel.h"
#include "cpu/row_forms.h"

namespace sparse_gemm::cpu {

template <typename Form, RegisterTile kTile>
struct RowDot {
  using Simd = typename Form::Simd;
  using Lane = typename Simd::Lane;
  using Packed = typename Form::Packed;
  using Sum = typename Form::Sum;
  using Weights = typename Form::Weights;
  using Matrix = typename Form::Matrix;
  static constexpr int kRows = kTile.rows;
  static constexpr int kTokens = kTile.columns;
  static constexpr int64_t kStepK = 2 * Form::kKept;
  static constexpr int kIntoL2 = 2;  // of __builtin_prefetch: into L1 as well is slower
  static_assert(kMaxStepK % kStepK == 0, "the planner pads K to kMaxStepK");

  // One step of R rows and T tokens, from kept value i of `a` on.
  template <int R, int T>
  static SPARSE_GEMM_INLINE void step(const Matrix& a, int64_t i, const Packed* x,
                                      Sum (&sums)[R][T]) {
    for (int r = 0; r < R; ++r) {
      __builtin_prefetch(a.values_at(r + R, i), 0, kIntoL2);
      const Weights weights = Form::weights(a, r, i);
      const auto index = Form::indices(a.metadata_at(r, i));
      for (int t = 0; t < T; ++t) {
        sums[r][t] = Form::multiply_add(weights, x + t * kStepK, index, sums[r][t]);
      }
    }
  }

  // out[r * width + t] = first[r] + row r dot token t, for R rows and a block of T tokens.
  template <int R, int T>
  static void dot(const Matrix& a, const Packed* x, const Lane (&first)[R], Lane* out,
                  int64_t width) {
    Sum sums[R][T];
    clear(sums);
    const int64_t whole = a.kept / Form::kKept * Form::kKept;
    for (int64_t i = 0; i < whole; i += Form::kKept, x += T * kStepK) step(a, i, x, sums);
    Lane lanes[R][kTokens];
    for (int r = 0; r < R; ++r) add_up(sums[r], lanes[r]);
    if (whole < a.kept) add_tail<R, T>(a, whole, x, lanes);
    for (int r = 0; r < R; ++r) {
      for (int t = 0; t < T; ++t) out[r * width + t] = plus(first[r], lanes[r][t]);
    }
  }

  // The products from kept value `begin` on, less than a step. Apart from `dot`: together, the
  // compiler would keep the sums of the loop there in memory.
  template <int R, int T>
  static __attribute__((noinline)) void add_tail(const Matrix& a, int64_t begin, const Packed* x,
                                                 Lane (&lanes)[R][kTokens]) {
    const typename Matrix::template Tail<R, Form::kKept> tail(a, begin);
    Sum sums[R][T];
    clear(sums);
    step(tail.matrix, 0, x, sums);
    for (int r = 0; r < R; ++r) {
      Lane added[kTokens];
      add_up(sums[r], added);
      for (int t = 0; t < T; ++t) lanes[r][t] = plus(lanes[r][t], added[t]);
    }
  }

  // Integer sums wrap, and wrap back.
  static SPARSE_GEMM_INLINE Lane plus(Lane a, Lane b) {
    if constexpr (std::is_same_v<Lane, int32_t>) {
      return static_cast<Lane>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
    } else {
      return a + b;
    }
  }

  template <int R, int T>
  static SPARSE_GEMM_INLINE void clear(Sum (&sums)[R][T]) {
    for (int r = 0; r < R; ++r) {
      for (int t = 0; t < T; ++t) sums[r][t] = Form::zero();
    }
  }

  // out[i] = the lanes of sums[i] added up, in the same order whatever kCount is: a row gives the
  // same bits in every task.
  template <int kCount>
  static SPARSE_GEMM_INLINE void add_up(const Sum (&sums)[kCount], Lane* out) {
    static_assert(kCount <= 4 && kTokens == 4, "four vectors are added up at a time");
    using Vector = typename Simd::Vector;
    Vector four[4];
    for (int i = 0; i < 4; ++i) {
      four[i] = std::bit_cast<Vector>(i < kCount ? sums[i < kCount ? i : 0] : Form::zero());
    }
    Simd::add_up(four, out);
  }

  template <int R>
  static void dot_tokens(int64_t tokens, const Matrix& a, const Packed* x, int64_t padded_k,
                         Lane* out) {
    static_assert(kTokens == 4, "the switch lists the token counts up to 4");
    Lane first[R];
    for (int r = 0; r < R; ++r) first[r] = Form::first_sum(a, r);
    for (int64_t t = 0; t < tokens; t += kTokens, x += kTokens * padded_k) {
      switch (std::min<int64_t>(kTokens, tokens - t)) {
        case 1:
          dot<R, 1>(a, x, first, out + t, tokens);
          break;
        case 2:
          dot<R, 2>(a, x, first, out + t, tokens);
          break;
        case 3:
          dot<R, 3>(a, x, first, out + t, tokens);
          break;
        default:
          dot<R, 4>(a, x, first, out + t, tokens);
          break;
      }
    }
  }

  static int64_t padded_k(const Problem& problem) { return round_up(problem.k, kStepK); }

  // A pack task is one token.
  static int64_t num_pack_tasks(const Problem&, const Plan&, TokenSpan tokens) {
    return tokens.count;
  }

  static void pack(const Problem& problem, const Plan&, TokenSpan tokens, int64_t task,
                   void* packed) {
    const int64_t first = task / kTokens * kTokens;
    const int64_t width = std::min<int64_t>(kTokens, tokens.count - first) * kStepK;
    const Activations<typename Form::Dense> b(problem.b);
    Packed* out =
        static_cast<Packed*>(packed) + first * padded_k(problem) + (task - first) * kStepK;
    for (int64_t k = 0; k < problem.k; k += kStepK, out += width) {
      const int64_t count = std::min(kStepK, problem.k - k);
      Form::pack(b.at(k, tokens.begin + task), b.k_stride, count, out);
      std::fill(out + count, out + kStepK, Form::kZero);
    }
  }

  // Of kRows rows. Their values are prefetched step by step.
  static SPARSE_GEMM_INLINE void prefetch_metadata(const Matrix& a, int64_t row) {
    constexpr int64_t kCacheLine = 64;
    const uint8_t* begin = a.metadata_at(row, 0);
    for (int64_t i = 0; i < kRows * a.metadata_stride; i += kCacheLine) {
      __builtin_prefetch(begin + i, 0, kIntoL2);
    }
  }

  static void multiply(const Problem& problem, const Plan&, TokenSpan tokens, int64_t m_begin,
                       int64_t rows, const void* packed) {
    alignas(64) Lane tile[kMaxTileM * kMaxRowDotTokens];
    const Packed* x = static_cast<const Packed*>(packed);
    const int64_t width = tokens.count;
    const int64_t row_k = padded_k(problem);
    const Matrix a(problem, m_begin);
    int64_t r = 0;
    for (; r + kRows <= rows; r += kRows) {
      prefetch_metadata(a, r + kRows);
      dot_tokens<kRows>(width, a.from_row(r), x, row_k, tile + r * width);
    }
    for (; r < rows; ++r) dot_tokens<1>(width, a.from_row(r), x, row_k, tile + r * width);
    store_tile<Simd>(problem, {tile, width, m_begin, rows, tokens.begin, width});
  }
};

}  // namespace sparse_gemm::cpu
