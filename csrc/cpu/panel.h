// panel: many tokens. Vectors run along N.
//
// A task computes `tile_m` rows of A for a span of up to `tile_n` tokens. For each k_tile of K, the
// rows' kept values are widened once and their positions become offsets into the packed panel; then
// for each kWidth tokens, every kept weight is one broadcast and one FMA a vector of tokens, on the
// panel row that its metadata names. Only kept weights are multiplied: half of the dense FMAs.
//
// Packed activations: for each kWidth tokens a panel, K-major: lanes [panel][padded_k][kWidth].
// Accumulators of the task stay in one tile [tile_m][tile_n] on the stack (L2) between k_tiles.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/plan.h"
#include "cpu/epilogue.h"
#include "cpu/kernel.h"
#include "cpu/pack.h"

namespace sparse_gemm::cpu {

template <typename Simd, typename Element, RegisterTile kTile>
struct Panel {
  using Lane = typename Simd::Lane;
  using Vector = typename Simd::Vector;
  static constexpr int kRows = kTile.rows;
  static constexpr int kVectors = kTile.columns;
  static constexpr int64_t kWidth = kVectors * Simd::kLanes;
  static constexpr int kGroupSize = 4;
  static constexpr int64_t kMaxKept = kMaxPanelKTile / 2;

  // A k_tile of the task's rows: what the inner loop wants, ready to use.
  struct Unpacked {
    alignas(64) Lane weights[kMaxTileM][kMaxKept];
    alignas(64) uint32_t offsets[kMaxTileM][kMaxKept];  // into a panel's k_tile, in lanes
  };

  static int64_t padded_k(const Problem& problem) {
    return num_groups(problem.a.pattern, problem.k) * kGroupSize;
  }

  // Groups [group_begin, +groups) of a row, ready for the inner loop. group_begin is a whole number
  // of k_tiles, so a vector's metadata starts at a byte.
  static void unpack_row(const Element* values, const uint8_t* metadata, int64_t group_begin,
                         int64_t groups, Lane* weights, uint32_t* offsets) {
    widen_line<Simd>(values + 2 * group_begin, 1, 2 * groups, weights);
    constexpr int64_t kVectorGroups = Simd::kLanes / 2;
    int64_t g = 0;
    for (; g + kVectorGroups <= groups; g += kVectorGroups) {
      Simd::store_offsets(metadata + (group_begin + g) / 2, static_cast<uint32_t>(kGroupSize * g),
                          kWidth, offsets + 2 * g);
    }
    for (; g < groups; ++g) {
      const int64_t group = group_begin + g;
      const unsigned nibble = metadata[group / 2] >> (4 * (group % 2));
      const auto first = static_cast<uint32_t>(kGroupSize * g);
      offsets[2 * g] = (first + (nibble & 3)) * kWidth;
      offsets[2 * g + 1] = (first + ((nibble >> 2) & 3)) * kWidth;
    }
  }

  // sums[r][v] += the R rows' `kept` weights times V vectors of tokens.
  template <int R, int V>
  static void multiply_rows(const Unpacked& a, int64_t row, int64_t kept, const Lane* panel,
                            Lane* sums) {
    Vector sum[R][V];
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) {
        sum[r][v] = Simd::load(sums + r * kMaxPanelTokens + v * Simd::kLanes);
      }
    }
    for (int64_t i = 0; i < kept; ++i) {
      for (int r = 0; r < R; ++r) {
        const Vector weight = Simd::broadcast(&a.weights[row + r][i]);
        const Lane* x = panel + a.offsets[row + r][i];
        for (int v = 0; v < V; ++v) {
          sum[r][v] = Simd::multiply_add(weight, Simd::load(x + v * Simd::kLanes), sum[r][v]);
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) {
        Simd::store(sums + r * kMaxPanelTokens + v * Simd::kLanes, sum[r][v]);
      }
    }
  }

  template <int V>
  static void multiply_panel(const Unpacked& a, int64_t rows, int64_t kept, const Lane* panel,
                             Lane* sums) {
    int64_t r = 0;
    for (; r + kRows <= rows; r += kRows) {
      multiply_rows<kRows, V>(a, r, kept, panel, sums + r * kMaxPanelTokens);
    }
    for (; r < rows; ++r) multiply_rows<1, V>(a, r, kept, panel, sums + r * kMaxPanelTokens);
  }

  static void multiply_tokens(const Unpacked& a, int64_t rows, int64_t kept, const Lane* panel,
                              int64_t tokens, Lane* sums) {
    static_assert(kVectors == 4, "the switch lists the vector counts up to 4");
    switch (ceil_div(std::min(tokens, kWidth), Simd::kLanes)) {
      case 1:
        return multiply_panel<1>(a, rows, kept, panel, sums);
      case 2:
        return multiply_panel<2>(a, rows, kept, panel, sums);
      case 3:
        return multiply_panel<3>(a, rows, kept, panel, sums);
      default:
        return multiply_panel<4>(a, rows, kept, panel, sums);
    }
  }

  // A pack task is one k_tile of one panel.
  static int64_t num_pack_tasks(const Problem& problem, const Plan& plan, TokenSpan tokens) {
    return ceil_div(tokens.count, kWidth) * ceil_div(padded_k(problem), plan.k_tile);
  }

  static void pack(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t task,
                   void* packed) {
    const int64_t row = padded_k(problem);
    const int64_t k_tiles = ceil_div(row, plan.k_tile);
    const int64_t first_token = task / k_tiles * kWidth;
    const int64_t k_begin = task % k_tiles * plan.k_tile;
    Lane* out = static_cast<Lane*>(packed) + first_token * row + k_begin * kWidth;
    pack_k_major<Simd>(Activations<Element>(problem.b), tokens.begin + first_token,
                       std::min(kWidth, tokens.count - first_token), k_begin,
                       std::min(row, k_begin + plan.k_tile), problem.k, kWidth, out);
  }

  static void multiply(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t m_begin,
                       int64_t rows, const void* packed) {
    alignas(64) Lane sums[kMaxTileM * kMaxPanelTokens];
    Unpacked a;
    const Pattern pattern = problem.a.pattern;
    const int64_t row_kept = k_compressed(pattern, problem.k);
    const int64_t row_bytes = metadata_row_bytes(pattern, problem.k);
    const int64_t row_groups = num_groups(pattern, problem.k);
    const int64_t tile_groups = plan.k_tile / kGroupSize;
    const Element* values = static_cast<const Element*>(problem.a.values) + m_begin * row_kept;
    const uint8_t* metadata = problem.a.metadata + m_begin * row_bytes;
    const Lane* panels = static_cast<const Lane*>(packed);

    std::fill(sums, sums + rows * kMaxPanelTokens, Lane{0});
    for (int64_t group = 0; group < row_groups; group += tile_groups) {
      const int64_t groups = std::min(tile_groups, row_groups - group);
      for (int64_t r = 0; r < rows; ++r) {
        unpack_row(values + r * row_kept, metadata + r * row_bytes, group, groups, a.weights[r],
                   a.offsets[r]);
      }
      for (int64_t token = 0; token < tokens.count; token += kWidth) {
        const Lane* panel = panels + token * padded_k(problem) + group * kGroupSize * kWidth;
        multiply_tokens(a, rows, 2 * groups, panel, tokens.count - token, sums + token);
      }
    }
    store_tile<Simd>(problem, {sums, kMaxPanelTokens, m_begin, rows, tokens.begin, tokens.count});
  }
};

}  // namespace sparse_gemm::cpu
