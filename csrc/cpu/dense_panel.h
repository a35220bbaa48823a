// dense_panel: many tokens of int8, where a permutation takes the place of a dot product. Vectors
// run along N.
//
// On cores whose permutations run on the ports that multiply, leaving pruned weights out costs what
// it saves. Here they take part: rows are expanded, a chunk of K and some rows at a time, and each
// group, four bytes, is broadcast and multiplied with vectors of tokens by dot products of quads.
// What is left of 2:4 is that weights come from memory compressed.
//
// A task computes `tile_m` rows of A for a span of up to kMaxPanelTokens tokens. Sums stay in
// registers for a chunk; between chunks they are [row][token] on the stack. The rows to come are
// prefetched into L2 meanwhile, a few lines at a time: as bursts they keep the activations, which
// come from L2, waiting (a fifth of a call of 32 tokens).
//
// Packed activations: [panel][group][vector of tokens, four bytes each]; zeros from K on, and for
// the tokens that the last panel lacks.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/plan.h"
#include "cpu/epilogue.h"
#include "cpu/kernel.h"
#include "cpu/pack.h"

namespace sparse_gemm::cpu {

// How a type's rows are expanded and multiplied: where there are instructions for it
// (row_forms_*.h).
template <typename Simd, typename Element>
struct QuadsForm;

template <typename Form, RegisterTile kTile>
struct DensePanel {
  using Simd = typename Form::Simd;
  using Lane = typename Simd::Lane;
  using Dense = typename Form::Dense;
  using Sum = typename Form::Sum;
  using Matrix = typename Form::Matrix;
  static constexpr int64_t kLanes = Simd::kLanes;
  static constexpr int64_t kVectorBytes = 4 * kLanes;
  static constexpr int kVectors = kTile.columns;
  static constexpr int64_t kMaxChunkK = kGroupSize * kDensePanelGroups;
  static constexpr int64_t kPackGroups = 128;  // of a pack task
  static constexpr int64_t kRowsAhead = 16;    // of those prefetched
  static constexpr int64_t kCacheLine = 64;

  // Rows at a time in panels of V vectors, a power of two: blocks of them fill kMaxPanelTileM.
  template <int V>
  static constexpr int kRowsOf = static_cast<int>(std::bit_ceil(
      static_cast<unsigned>(std::max<int64_t>(kTile.rows, ceil_div(kTile.min_sums, V)))));
  static constexpr int kMaxRows = kRowsOf<1>;
  static_assert(kMaxPanelTileM % kMaxRows == 0, "sums have room for whole blocks of rows");
  static_assert(kMaxChunkK % Form::kExpandedK == 0, "chunks are expanded whole");

  // A block of rows, a chunk of each, and what its sums begin with.
  struct Expanded {
    alignas(64) char rows[kMaxRows][kMaxChunkK];
    Lane first_sums[kMaxRows];
  };

  static int64_t padded_groups(const Problem& problem) {
    return round_up(problem.k, Form::kExpandedK) / kGroupSize;
  }
  static int64_t panel_bytes(const Problem& problem, const Plan& plan) {
    return padded_groups(problem) * plan.panel_vectors * kVectorBytes;
  }

  static int64_t num_pack_tasks(const Problem& problem, const Plan& plan, TokenSpan tokens) {
    return ceil_div(tokens.count, plan.panel_vectors * kLanes) *
           ceil_div(padded_groups(problem), kPackGroups);
  }

  static void pack(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t task,
                   void* packed) {
    const int64_t groups = padded_groups(problem);
    const int64_t tasks_a_panel = ceil_div(groups, kPackGroups);
    const int64_t panel = task / tasks_a_panel;
    const int64_t begin = task % tasks_a_panel * kPackGroups;
    const int64_t end = std::min(begin + kPackGroups, groups);
    const int64_t width = plan.panel_vectors * kLanes;
    const TokenSpan of_panel{tokens.begin + panel * width,
                             std::min(width, tokens.count - panel * width)};
    char* out = static_cast<char*>(packed) + panel * panel_bytes(problem, plan) +
                begin * plan.panel_vectors * kVectorBytes;
    pack_columns<Simd, Dense>(Activations<Dense>(problem.b), of_panel, kGroupSize * begin,
                              kGroupSize * end, problem.k, width, reinterpret_cast<uint32_t*>(out));
    Form::to_unsigned(out, (end - begin) * plan.panel_vectors * kVectorBytes);
  }

  // sums[r * width + t] += R expanded rows times V vectors of tokens, over `groups`. Of the rows
  // from `ahead` on, where there is such a pointer, a line is prefetched while its share of groups
  // is multiplied.
  template <int R, int V>
  static void multiply_rows(const Expanded& a, const char* x, int64_t groups, const char* ahead,
                            int64_t row_bytes, Lane* sums, int64_t width) {
    constexpr int64_t kLineGroups = kCacheLine / (kGroupSize / 2);  // kept bytes
    constexpr int64_t kShares = 4;
    static_assert(R % kShares == 0, "a share has whole rows");
    Sum sum[R][V];
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 32
      for (int v = 0; v < V; ++v) sum[r][v] = Form::begin(a.first_sums[r]);
    }
    for (int64_t group = 0; group < groups;) {
      if (ahead != nullptr) {
        const int64_t share = group / (kLineGroups / kShares);
        const char* line = ahead + share / kShares * kCacheLine;
#pragma GCC unroll 32
        for (int64_t r = 0; r < R / kShares; ++r) {
          __builtin_prefetch(line + (share % kShares * (R / kShares) + r) * row_bytes, 0, 2);
        }
      }
#pragma GCC unroll 1
      for (int64_t i = 0; i < kLineGroups / kShares; ++i, ++group, x += V * kVectorBytes) {
        typename Form::Tokens tokens[V];
#pragma GCC unroll 32
        for (int v = 0; v < V; ++v) tokens[v] = Form::load(x + v * kVectorBytes);
#pragma GCC unroll 32
        for (int r = 0; r < R; ++r) {
          const auto weights = Form::broadcast(a.rows[r] + group * kGroupSize);
#pragma GCC unroll 32
          for (int v = 0; v < V; ++v) {
            sum[r][v] = Form::multiply_add(weights, tokens[v], sum[r][v]);
          }
        }
      }
    }
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 32
      for (int v = 0; v < V; ++v) Form::add_to(sums + r * width + v * kLanes, sum[r][v]);
    }
  }

  // All rows of the task, for panels of V vectors.
  template <int V>
  static void multiply_chunks(const Problem& problem, const Plan& plan, int64_t tokens,
                              const Matrix& a, int64_t rows, const char* packed, Lane* sums) {
    constexpr int kRows = kRowsOf<V>;
    Expanded expanded;
    const int64_t k_end = round_up(problem.k, Form::kExpandedK);
    for (int64_t k = 0; k < k_end; k += plan.k_tile) {
      const int64_t chunk = std::min(plan.k_tile, k_end - k);
      for (int64_t row = 0; row < rows; row += kRows) {
        for (int64_t r = 0; r < kRows; ++r) {
          // Where there are no more rows the last one, once more.
          const Matrix from_row = a.from_row(std::min(row + r, rows - 1));
          expanded.first_sums[r] = Form::expand(from_row, k / 2, chunk, expanded.rows[r]);
        }
        const char* x = packed + k / kGroupSize * V * kVectorBytes;
        const char* ahead = reinterpret_cast<const char*>(a.values_at(row + kRowsAhead, k / 2));
        for (int64_t token = 0; token < tokens; token += V * kLanes) {
          multiply_rows<kRows, V>(expanded, x, chunk / kGroupSize, token == 0 ? ahead : nullptr,
                                  a.values_stride, sums + row * plan.tile_n + token, plan.tile_n);
          x += panel_bytes(problem, plan);
        }
      }
    }
  }

  template <int V = 1>
  static void multiply_panels(const Problem& problem, const Plan& plan, int64_t tokens,
                              const Matrix& a, int64_t rows, const char* packed, Lane* sums) {
    if constexpr (V < kVectors) {
      if (plan.panel_vectors > V) {
        return multiply_panels<V + 1>(problem, plan, tokens, a, rows, packed, sums);
      }
    }
    multiply_chunks<V>(problem, plan, tokens, a, rows, packed, sums);
  }

  static void multiply(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t m_begin,
                       int64_t rows, const void* packed) {
    alignas(64) Lane sums[kMaxPanelTileM * kMaxPanelTokens];
    const Matrix a(problem, m_begin);
    const int64_t width = plan.tile_n;
    std::fill_n(sums, round_up(rows, kMaxRows) * width, Lane{});
    multiply_panels(problem, plan, tokens.count, a, rows, static_cast<const char*>(packed), sums);
    for (int64_t r = 0; r < rows; r += kMaxTileM) {
      store_tile<Simd>(problem, {sums + r * width, width, m_begin + r,
                                 std::min(kMaxTileM, rows - r), tokens.begin, tokens.count});
    }
  }
};

}  // namespace sparse_gemm::cpu
