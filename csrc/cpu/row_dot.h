// row_dot: few tokens. Vectors run along K.
//
// A task computes `tile_m` rows of A for all tokens, kRows at a time. Values and metadata are
// streamed once, in their canonical order. For kLanes kept values, their metadata becomes a vector
// of positions, `select` gathers the activations at these positions out of two vectors, and one FMA
// adds kLanes products: the pruned weights cost nothing.
//
// Packed activations: token-major, lanes [tokens][padded_k].
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/plan.h"
#include "cpu/epilogue.h"
#include "cpu/kernel.h"
#include "cpu/pack.h"

namespace sparse_gemm::cpu {

template <typename Simd, typename Element, RegisterTile kTile>
struct RowDot {
  using Lane = typename Simd::Lane;
  using Vector = typename Simd::Vector;
  static constexpr int kRows = kTile.rows;
  static constexpr int kTokens = kTile.columns;

  // A's rows, as elements.
  struct Rows {
    const Element* values;
    const uint8_t* metadata;
    int64_t values_stride;
    int64_t metadata_stride;

    Rows(const Problem& problem, int64_t m)
        : values_stride(k_compressed(problem.a.pattern, problem.k)),
          metadata_stride(metadata_row_bytes(problem.a.pattern, problem.k)) {
      values = static_cast<const Element*>(problem.a.values) + m * values_stride;
      metadata = problem.a.metadata + m * metadata_stride;
    }
  };

  // out[r * width + t] = row r dot token t, for R rows and T tokens.
  template <int R, int T>
  static void dot(const Rows& rows, const Lane* x, int64_t padded_k, Lane* out, int64_t width) {
    Vector sum[R][T];
    for (int r = 0; r < R; ++r) {
      for (int t = 0; t < T; ++t) sum[r][t] = Simd::zero();
    }
    const int64_t kept = rows.values_stride;
    int64_t i = 0;
    for (; i + Simd::kLanes <= kept; i += Simd::kLanes) {
      for (int r = 0; r < R; ++r) {
        const Vector weight = Simd::widen(rows.values + r * rows.values_stride + i);
        const auto index = Simd::indices(rows.metadata + r * rows.metadata_stride + i / 4);
        for (int t = 0; t < T; ++t) {
          const Vector picked = Simd::select(x + t * padded_k + 2 * i, index);
          sum[r][t] = Simd::multiply_add(weight, picked, sum[r][t]);
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int t = 0; t < T; ++t) {
        out[r * width + t] = Simd::sum(sum[r][t]) + tail(rows, r, i, x + t * padded_k);
      }
    }
  }

  // The products of row r from kept value `begin` on, fewer than a vector of them.
  static Lane tail(const Rows& rows, int r, int64_t begin, const Lane* x) {
    const Element* values = rows.values + r * rows.values_stride;
    const uint8_t* metadata = rows.metadata + r * rows.metadata_stride;
    Lane sum = 0;
    for (int64_t i = begin; i < rows.values_stride; ++i) {
      const int64_t group = i / 2;
      const int nibble = metadata[group / 2] >> (4 * (group % 2));
      const int position = (nibble >> (2 * (i % 2))) & 3;
      sum += widen_one<Simd>(load_element(values + i)) * x[4 * group + position];
    }
    return sum;
  }

  template <int R>
  static void dot_tokens(int64_t tokens, const Rows& rows, const Lane* x, int64_t padded_k,
                         Lane* out, int64_t width) {
    static_assert(kTokens == 4, "the switch lists the token counts up to 4");
    for (int64_t t = 0; t < tokens; t += kTokens) {
      const Lane* x_t = x + t * padded_k;
      switch (std::min<int64_t>(kTokens, tokens - t)) {
        case 1:
          dot<R, 1>(rows, x_t, padded_k, out + t, width);
          break;
        case 2:
          dot<R, 2>(rows, x_t, padded_k, out + t, width);
          break;
        case 3:
          dot<R, 3>(rows, x_t, padded_k, out + t, width);
          break;
        default:
          dot<R, 4>(rows, x_t, padded_k, out + t, width);
          break;
      }
    }
  }

  static int64_t padded_k(const Problem& problem) {
    constexpr int kGroupSize = 4;
    return num_groups(problem.a.pattern, problem.k) * kGroupSize;
  }

  static int64_t num_pack_tasks(const Problem&, const Plan&, TokenSpan tokens) {
    return tokens.count;
  }

  static void pack(const Problem& problem, const Plan&, TokenSpan tokens, int64_t task,
                   void* packed) {
    const int64_t row = padded_k(problem);
    pack_token_major<Simd>(Activations<Element>(problem.b), tokens.begin + task, problem.k, row,
                           static_cast<Lane*>(packed) + task * row);
  }

  static void multiply(const Problem& problem, const Plan&, TokenSpan tokens, int64_t m_begin,
                       int64_t rows, const void* packed) {
    alignas(64) Lane tile[kMaxTileM * kMaxRowDotTokens];
    const Lane* x = static_cast<const Lane*>(packed);
    const int64_t width = tokens.count;
    int64_t r = 0;
    for (; r + kRows <= rows; r += kRows) {
      dot_tokens<kRows>(width, Rows(problem, m_begin + r), x, padded_k(problem), tile + r * width,
                        width);
    }
    for (; r < rows; ++r) {
      dot_tokens<1>(width, Rows(problem, m_begin + r), x, padded_k(problem), tile + r * width,
                    width);
    }
    store_tile<Simd>(problem, {tile, width, m_begin, rows, tokens.begin, width});
  }
};

}  // namespace sparse_gemm::cpu
