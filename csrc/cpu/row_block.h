// row_block: many tokens, for dot products of 8 bits within 32-bit lanes. Vectors run along K.
//
// As in row_dot a permutation picks the activations whose weights were kept, and a dot product adds
// the products to 32-bit sums. But two neighbouring rows share a vector, a half each: together they
// keep as many of a vector of activations as it holds, so that the permutation has one source. And
// what a step of two rows is to be multiplied with, weights and positions, is prepared once for all
// tokens, a chunk of K at a time, which leaves a permutation and a dot product.
//
// A task computes `tile_m` rows of A for a span of up to kMaxPanelTokens tokens. The prepared steps
// of kRows rows stay in L1 while all tokens are multiplied with them, the activations of a chunk in
// L2 while all rows of the task are; sums are added up at the end of a chunk, [row][token] on the
// stack. The next rows' weights are prefetched into L2 meanwhile.
//
// Packed activations: [chunk][block of kTokens tokens][step][token][kStepK]; zeros from K on, and
// for the tokens that the last block lacks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/plan.h"
#include "cpu/epilogue.h"
#include "cpu/kernel.h"
#include "cpu/pack.h"

namespace sparse_gemm::cpu {

// How two rows are multiplied: where there are instructions for it (row_forms_*.h).
template <typename Simd, typename Element>
struct TwoRowsForm;

template <typename Form, RegisterTile kTile>
struct RowBlock {
  using Simd = typename Form::Simd;
  using Lane = typename Simd::Lane;
  using Dense = typename Form::Dense;
  using Packed = typename Form::Packed;
  using Sum = typename Form::Sum;
  using Matrix = typename Form::Matrix;
  static constexpr int kRows = kTile.rows;
  static constexpr int kPairs = kRows / 2;
  static constexpr int kTokens = kTile.columns;
  static constexpr int64_t kStepK = 2 * Form::kKept;
  static constexpr int64_t kChunkSteps = 32;
  static constexpr int64_t kPackTokens = 16;                          // of a pack task
  static constexpr int64_t kStepUnits = kStepK * sizeof(Packed) / 4;  // of 32 bits
  static_assert(kTokens == 4, "four sums are added up at a time");
  static_assert(kMaxPanelTileM % kRows == 0, "sums have room for whole blocks of rows");
  static_assert(kMaxStepK % kStepK == 0, "the planner pads K to kMaxStepK");

  struct Step {
    alignas(64) char weights[64];
    alignas(64) char index[64];
  };
  using Prepared = Step[kChunkSteps][kPairs];

  // Where packed activations lie, in elements.
  struct Layout {
    int64_t steps;
    int64_t tokens;

    SPARSE_GEMM_INLINE Layout(const Problem& problem, TokenSpan span)
        : steps(ceil_div(problem.k, kStepK)), tokens(round_up(span.count, kTokens)) {}
    SPARSE_GEMM_INLINE int64_t num_chunks() const { return ceil_div(steps, kChunkSteps); }
    SPARSE_GEMM_INLINE int64_t steps_of(int64_t chunk) const {
      return std::min(kChunkSteps, steps - chunk * kChunkSteps);
    }
    SPARSE_GEMM_INLINE int64_t at(int64_t chunk, int64_t block) const {
      return (chunk * kChunkSteps * tokens + block * steps_of(chunk) * kTokens) * kStepK;
    }
  };

  static int64_t num_pack_tasks(const Problem& problem, const Plan&, TokenSpan tokens) {
    return Layout(problem, tokens).num_chunks() * ceil_div(tokens.count, kPackTokens);
  }

  static void pack(const Problem& problem, const Plan&, TokenSpan tokens, int64_t task,
                   void* packed) {
    const Layout layout(problem, tokens);
    const int64_t tasks_a_chunk = ceil_div(tokens.count, kPackTokens);
    const int64_t chunk = task / tasks_a_chunk;
    const int64_t begin = task % tasks_a_chunk * kPackTokens;
    const int64_t end = std::min(begin + kPackTokens, layout.tokens);
    const Activations<Dense> b(problem.b);
    const bool is_along_n = b.n_stride == 1 && b.k_stride != 1;
    alignas(64) uint32_t lines[kPackTokens * kStepUnits];
    for (int64_t step = 0; step < layout.steps_of(chunk); ++step) {
      const int64_t k = (chunk * kChunkSteps + step) * kStepK;
      if (is_along_n) {
        read_along_n(b, {tokens.begin + begin, tokens.count - begin}, k, problem.k, lines);
      }
      for (int64_t token = begin; token < end; ++token) {
        Packed* out = static_cast<Packed*>(packed) + layout.at(chunk, token / kTokens) +
                      (step * kTokens + token % kTokens) * kStepK;
        const int64_t count = token < tokens.count ? std::min(kStepK, problem.k - k) : 0;
        if (is_along_n) {
          const uint32_t* line = lines + (token - begin) * kStepUnits;
          Form::pack(reinterpret_cast<const Dense*>(line), 1, count, out);
        } else if (count > 0) {
          Form::pack(b.at(k, tokens.begin + token), b.k_stride, count, out);
        }
        std::fill(out + count, out + kStepK, Form::kZero);
      }
    }
  }

  // A step of kPackTokens tokens, which lie side by side, as a line of each.
  static void read_along_n(const Activations<Dense>& b, TokenSpan tokens, int64_t k, int64_t k_end,
                           uint32_t* lines) {
    static_assert(kStepUnits == Simd::kLanes && kPackTokens == Simd::kLanes, "one transposition");
    alignas(64) uint32_t columns[kStepUnits * kPackTokens];
    pack_side_by_side<Simd, Dense>(b, tokens, k, k + kStepK, k_end, kPackTokens, columns);
    Simd::transpose(columns, kPackTokens, lines, kStepUnits);
  }

  // One step of two rows, from kept value i of each on.
  static SPARSE_GEMM_INLINE void prepare_step(const Matrix& low, const Matrix& high, int64_t i,
                                              Step* out) {
    Form::store(out->weights, Form::weights(low, high, i));
    Form::store(out->index, Form::indices(low, high, i));
  }

  // `steps` of kRows rows from `row` on; where there are no more of them the last one, once more.
  static void prepare(const Matrix& a, int64_t row, int64_t rows, int64_t first_step, int64_t steps,
                      Prepared& out) {
    const int64_t whole = std::min(steps, a.kept / Form::kKept - first_step);
    for (int p = 0; p < kPairs; ++p) {
      const Matrix low = a.from_row(std::min(row + 2 * p, rows - 1));
      const Matrix high = a.from_row(std::min(row + 2 * p + 1, rows - 1));
      for (int64_t s = 0; s < whole; ++s) {
        prepare_step(low, high, (first_step + s) * Form::kKept, &out[s][p]);
      }
      if (whole == steps) continue;
      using Tail = typename Matrix::template Tail<1, Form::kKept>;
      const int64_t begin = (first_step + whole) * Form::kKept;
      prepare_step(Tail(low, begin).matrix, Tail(high, begin).matrix, 0, &out[whole][p]);
    }
  }

  // Of the weights of kRows rows from `row` on, of a chunk, the share that one block of tokens of
  // `blocks` brings into L2.
  static void prefetch(const Matrix& a, int64_t row, int64_t chunk, int64_t block, int64_t blocks) {
    const int64_t first = chunk * kChunkSteps * Form::kKept;
    const int64_t count = std::min(kChunkSteps * Form::kKept, a.kept - first);
    for (int64_t r = block; r < kRows && count > 0; r += blocks) a.prefetch(row + r, first, count);
  }

  // sums[r * width + t] += row r dot token t, over `steps`.
  static void dot(const Prepared& a, int64_t steps, const Packed* x, Lane* sums, int64_t width) {
    Sum sum[kPairs][kTokens];
#pragma GCC unroll 16
    for (int p = 0; p < kPairs; ++p) {
#pragma GCC unroll 16
      for (int t = 0; t < kTokens; ++t) sum[p][t] = Form::zero();
    }
#pragma GCC unroll 1
    for (int64_t s = 0; s < steps; ++s, x += kTokens * kStepK) {
#pragma GCC unroll 16
      for (int p = 0; p < kPairs; ++p) {
        const auto weights = Form::load(a[s][p].weights);
        const auto index = Form::load(a[s][p].index);
#pragma GCC unroll 16
        for (int t = 0; t < kTokens; ++t) {
          sum[p][t] = Form::multiply_add(weights, index, x + t * kStepK, sum[p][t]);
        }
      }
    }
#pragma GCC unroll 16
    for (int p = 0; p < kPairs; ++p) {
      Form::add_up(sum[p], sums + 2 * p * width, sums + (2 * p + 1) * width);
    }
  }

  static void multiply(const Problem& problem, const Plan&, TokenSpan tokens, int64_t m_begin,
                       int64_t rows, const void* packed) {
    alignas(64) Lane sums[kMaxPanelTileM * kMaxPanelTokens];
    Prepared prepared;
    const Layout layout(problem, tokens);
    const Packed* x = static_cast<const Packed*>(packed);
    const int64_t width = layout.tokens;
    const int64_t blocks = width / kTokens;
    const Matrix a(problem, m_begin);
    for (int64_t r = 0; r < round_up(rows, kRows); ++r) {
      std::fill_n(sums + r * width, width, Form::first_sum(a, std::min(r, rows - 1)));
    }
    for (int64_t chunk = 0; chunk < layout.num_chunks(); ++chunk) {
      const int64_t steps = layout.steps_of(chunk);
      for (int64_t r = 0; r < rows; r += kRows) {
        prepare(a, r, rows, chunk * kChunkSteps, steps, prepared);
        const bool is_last = r + kRows >= rows;
        for (int64_t block = 0; block < blocks; ++block) {
          prefetch(a, is_last ? 0 : r + kRows, is_last ? chunk + 1 : chunk, block, blocks);
          dot(prepared, steps, x + layout.at(chunk, block), sums + r * width + block * kTokens,
              width);
        }
      }
    }
    for (int64_t r = 0; r < rows; r += kMaxTileM) {
      store_tile<Simd>(problem, {sums + r * width, width, m_begin + r,
                                 std::min(kMaxTileM, rows - r), tokens.begin, tokens.count});
    }
  }
};

}  // namespace sparse_gemm::cpu
