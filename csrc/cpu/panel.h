// panel: many tokens. Vectors run along N.
//
// A task computes `tile_m` rows of A for a span of up to kMaxPanelTokens tokens. A block is one
// k_tile of one panel (up to some vectors of tokens side by side) of packed activations; it stays
// in L1 while all rows of the task are multiplied with it. For each chunk of k_tiles the rows' kept
// values become units of 32 bits, side by side, once for all panels of the span. The inner loop
// looks up where a byte of metadata finds its two groups' activations in the block, broadcasts a
// unit and multiplies it with what lies there: pruned weights take no part.
//
// What a unit is, and how activations are packed for it, is the Form's to say: a kept value as a
// lane (panel_lanes.h), or two bfloat16 (panel_pairs.h).
//
// Packed activations: [panel][group, a whole number of steps][a vector of each of its streams].
// Accumulators of a task are [panel][row][token] on the stack (L2) between k_tiles.
// The next block, and the weights of the next chunk, are prefetched into L2 meanwhile, row by row:
// as one burst they cost 6 to 16 % of a call of 64 tokens.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/plan.h"
#include "cpu/epilogue.h"
#include "cpu/kernel.h"
#include "cpu/panel_weights.h"

namespace sparse_gemm::cpu {

template <typename Form, RegisterTile kTile>
struct Panel {
  using Simd = typename Form::Simd;
  using Lane = typename Simd::Lane;
  using Vector = typename Simd::Vector;
  using Offsets = typename Form::Offsets;
  // Rows at a time in a panel of V vectors.
  template <int V>
  static constexpr int kRowsOf = std::max(kTile.rows, kTile.min_sums / V);
  static constexpr int kVectors = kTile.columns;
  static constexpr int64_t kPanelTokens = kVectors * Simd::kLanes;
  static constexpr int64_t kMaxPanels = kMaxPanelTokens / kPanelTokens;
  static constexpr int kStepBytes = 16;  // of weights: four units
  static constexpr int kStepGroups = Form::kLayout.step_groups;
  static constexpr int kStepMetadata = kStepGroups / 2;
  static constexpr int64_t kMaxSteps = Form::kLayout.max_groups / kStepGroups;
  static constexpr int64_t kCacheLine = 64;
  static_assert(Form::kLayout.max_groups % kStepGroups == 0, "k_tiles are whole steps");

  // A chunk of the task's rows, whole steps: where rows are read from as they are stored, many of
  // them at once fall into the same sets of the caches.
  struct Unpacked {
    alignas(64) char units[kMaxPanelTileM][kMaxSteps * kStepBytes];
    uint8_t metadata[kMaxPanelTileM][kMaxSteps * kStepMetadata];
    uint8_t beyond[kStepMetadata] = {};  // looked up ahead of the last row's end, never used
  };

  // The steps of one k_tile in it.
  struct Steps {
    const Unpacked& rows;
    int64_t first;
    int64_t count;
  };

  // Where packed activations lie, in bytes.
  struct Layout {
    int64_t panel_tokens;
    int64_t group_bytes;
    int64_t panel_bytes;

    SPARSE_GEMM_INLINE Layout(const Problem& problem, const Plan& plan)
        : panel_tokens(plan.panel_vectors * Simd::kLanes),
          group_bytes(int64_t{plan.panel_vectors} * Form::kLayout.group_bytes),
          panel_bytes(padded_groups(problem) * group_bytes) {}
  };

  static int64_t padded_groups(const Problem& problem) {
    return round_up(num_groups(problem.a.pattern, problem.k), kStepGroups);
  }

  // Groups [group, +groups) of each row. `group` is a whole number of k_tiles, so that metadata
  // starts at a byte. Groups that the last step lacks are zeros times the zeros packed for them.
  template <typename Weights>
  static void unpack(const typename Weights::Matrix& a, int64_t rows, int64_t group, int64_t groups,
                     Unpacked* out) {
    const int64_t last = groups / kStepGroups;
    const bool is_ragged = groups % kStepGroups != 0;
    for (int64_t r = 0; r < rows; ++r) {
      if (is_ragged) {
        std::memset(out->units[r] + last * kStepBytes, 0, kStepBytes);
        std::memset(out->metadata[r] + last * kStepMetadata, 0, kStepMetadata);
      }
      Weights::unpack(a, r, 2 * group, 2 * groups, out->units[r]);
      copy_piece<8>(a.metadata_at(r, 2 * group), ceil_div(groups, 2), out->metadata[r]);
    }
  }

  // What comes next, of which each row's work brings a share into L2: a block, and of its own row
  // the weights [first, first + kept) where those are told.
  template <typename Matrix>
  struct Next {
    const char* block;
    int64_t lines_per_row;
    const Matrix& a;
    int64_t first;
    int64_t kept;

    SPARSE_GEMM_INLINE void prefetch(int64_t row, int64_t rows) const {
      const char* line = block + row * lines_per_row * kCacheLine;
      for (int64_t i = 0; i < rows * lines_per_row; ++i) {
        __builtin_prefetch(line + i * kCacheLine, 0, 2);
      }
      if (kept == 0) return;
      for (int64_t r = row; r < row + rows; ++r) a.prefetch(r, first, kept);
    }
  };

  // A block and how its units are found.
  struct Block {
    const char* begin;
    const Offsets& offsets;
    int64_t byte_stride;  // of the groups that one byte of metadata has
  };

  // sums[r][v] += R rows of a block's weights times V vectors of tokens. What memory holds is added
  // at the end, so that no product waits for it, and each step looks up where the next one's
  // activations lie: two loads that follow one another and a third that needs both are more than
  // the products in flight can hide.
  template <int R, int V>
  static void multiply_rows(const Steps& a, int64_t row, const Block& block, Lane* sums) {
    Vector sum[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        sum[r][v] = Simd::zero();
      }
    }
    const char* units = a.rows.units[row] + a.first * kStepBytes;
    const uint8_t* metadata = a.rows.metadata[row] + a.first * kStepMetadata;
    const char* x = block.begin;
    typename Form::Found found[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      found[r] = Form::find(block.offsets, metadata + r * kMaxSteps * kStepMetadata);
    }
#pragma GCC unroll 1
    for (int64_t step = 0; step < a.count; ++step) {
      typename Form::Found next[R];
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        next[r] = Form::find(block.offsets, metadata + (r * kMaxSteps + step + 1) * kStepMetadata);
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        Form::template multiply_step<V>(units + (r * kMaxSteps + step) * kStepBytes, found[r], x,
                                        block.byte_stride, sum[r]);
        found[r] = next[r];
      }
      x += kStepMetadata * block.byte_stride;
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        Lane* total = sums + r * kPanelTokens + v * Simd::kLanes;
        Simd::store(total, Simd::add(Simd::load(total), sum[r][v]));
      }
    }
  }

  template <int V, typename Matrix>
  static void multiply_block(const Steps& a, int64_t rows, const Block& block,
                             const Next<Matrix>& next, Lane* sums) {
    int64_t r = 0;
    constexpr int kRows = kRowsOf<V>;
    for (; r + kRows <= rows; r += kRows) {
      next.prefetch(r, kRows);
      multiply_rows<kRows, V>(a, r, block, sums + r * kPanelTokens);
    }
    for (; r < rows; ++r) {
      next.prefetch(r, 1);
      multiply_rows<1, V>(a, r, block, sums + r * kPanelTokens);
    }
  }

  // As many vectors as hold `tokens`, at most a panel's.
  template <int V = Form::kLayout.step_vectors, typename Matrix>
  static void multiply_tokens(int64_t tokens, const Steps& a, int64_t rows, const Block& block,
                              const Next<Matrix>& next, Lane* sums) {
    if constexpr (V < kVectors) {
      if (tokens > V * Simd::kLanes) {
        return multiply_tokens<V + Form::kLayout.step_vectors>(tokens, a, rows, block, next, sums);
      }
    }
    multiply_block<V>(a, rows, block, next, sums);
  }

  // A pack task is kPackGroups of one panel: pieces of tokens long enough to be read in a stream.
  static constexpr int64_t kPackGroups = 128;

  static int64_t num_pack_tasks(const Problem& problem, const Plan& plan, TokenSpan tokens) {
    const int64_t panels = ceil_div(tokens.count, Layout(problem, plan).panel_tokens);
    return panels * ceil_div(padded_groups(problem), kPackGroups);
  }

  static void pack(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t task,
                   void* packed) {
    const Layout layout(problem, plan);
    const int64_t tasks_a_panel = ceil_div(padded_groups(problem), kPackGroups);
    const int64_t panel = task / tasks_a_panel;
    const int64_t begin = task % tasks_a_panel * kPackGroups;
    const int64_t end = std::min(begin + kPackGroups, padded_groups(problem));
    const int64_t token = panel * layout.panel_tokens;
    const TokenSpan of_panel{tokens.begin + token,
                             std::min(layout.panel_tokens, tokens.count - token)};
    char* out = static_cast<char*>(packed) + panel * layout.panel_bytes;
    for (int64_t group = begin; group < end; group += Form::kPackedGroups) {
      Form::pack(problem, of_panel, group, std::min<int64_t>(Form::kPackedGroups, end - group),
                 plan.panel_vectors, out + group * layout.group_bytes);
    }
  }

  // One k_tile for all panels of the span. `next` has the block that follows the last panel's, and
  // weights.
  template <typename Matrix>
  static void multiply_tile(const Steps& a, int64_t rows, TokenSpan tokens, const Layout& layout,
                            const Offsets& offsets, const char* tile, Next<Matrix> next,
                            Lane* sums) {
    const char* next_tile = next.block;
    const char* block = tile;
    for (int64_t token = 0; token < tokens.count; token += layout.panel_tokens) {
      const bool is_last = token + layout.panel_tokens >= tokens.count;
      next.block = is_last ? next_tile : block + layout.panel_bytes;
      multiply_tokens(tokens.count - token, a, rows, {block, offsets, 2 * layout.group_bytes}, next,
                      sums);
      next.kept = 0;
      block += layout.panel_bytes;
      sums += kMaxPanelTileM * kPanelTokens;
    }
  }

  template <typename Weights>
  static void multiply(const Problem& problem, const Plan& plan, TokenSpan tokens, int64_t m_begin,
                       int64_t rows, const void* packed) {
    alignas(64) Lane sums[kMaxPanels][kMaxPanelTileM * kPanelTokens];
    Unpacked unpacked;
    const typename Weights::Matrix a(problem, m_begin);
    const Layout layout(problem, plan);
    const Offsets offsets = Form::offsets(plan.panel_vectors);
    const char* panels = static_cast<const char*>(packed);
    const int64_t all_groups = num_groups(problem.a.pattern, problem.k);
    const int64_t tile_groups = plan.k_tile / kGroupSize;
    const int64_t chunk_groups = Form::kLayout.max_groups / tile_groups * tile_groups;
    const int64_t block_bytes = tile_groups * layout.group_bytes;

    const int64_t num_panels = ceil_div(tokens.count, layout.panel_tokens);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t panel = 0; panel < num_panels; ++panel) {
        std::fill_n(sums[panel] + r * kPanelTokens, layout.panel_tokens, Lane{});
      }
    }
    for (int64_t chunk = 0; chunk < all_groups; chunk += chunk_groups) {
      const int64_t end = std::min(chunk + chunk_groups, all_groups);
      unpack<Weights>(a, rows, chunk, end - chunk, &unpacked);
      for (int64_t group = chunk; group < end; group += tile_groups) {
        const Steps steps{unpacked, (group - chunk) / kStepGroups,
                          ceil_div(std::min(tile_groups, end - group), kStepGroups)};
        const int64_t next_tile = group + tile_groups < all_groups ? group + tile_groups : group;
        const int64_t ahead = std::min(group + chunk_groups, all_groups);
        const Next<typename Weights::Matrix> next{
            panels + next_tile * layout.group_bytes, ceil_div(block_bytes, kCacheLine * rows), a,
            2 * ahead, 2 * std::min(tile_groups, all_groups - ahead)};
        multiply_tile(steps, rows, tokens, layout, offsets, panels + group * layout.group_bytes,
                      next, sums[0]);
      }
    }
    for (int64_t panel = 0; panel < num_panels; ++panel) {
      const int64_t token = panel * layout.panel_tokens;
      const int64_t count = std::min(layout.panel_tokens, tokens.count - token);
      for (int64_t r = 0; r < rows; r += kMaxTileM) {
        store_tile<Simd>(problem, {sums[panel] + r * kPanelTokens, kPanelTokens, m_begin + r,
                                   std::min(kMaxTileM, rows - r), tokens.begin + token, count});
      }
    }
  }
};

}  // namespace sparse_gemm::cpu
