// How a matrix is walked: in tiles, which threads share out among themselves, and within a tile in
// spans: runs of whole, contiguous groups of one row. Strides, ragged ends and threads are dealt
// with here, so that a kernel sees none of them. Kernels are [[gnu::noinline]]: within the walk
// their inner loops would share its registers, and spilling them has been seen to cost a factor of
// ten.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "core/parallel.h"
#include "core/pattern.h"
#include "format/format.h"
#include "format/group.h"

namespace sparse_gemm::format {

// Dense bytes in a tile: some tens of microseconds of work, far more than handing out a task costs,
// and little enough that the compressed and the dense side both stay in a core's L2 cache.
inline constexpr int64_t kTileBytes = 64 * 1024;
// Dense bytes of a row that are gathered at a time where columns are not adjacent. A transposed
// matrix touches one cache line for each element of them; the lines must last for a tile's rows.
inline constexpr int64_t kGatherBytes = 2 * 1024;

// The unit of walking along K is the metadata byte: two groups.
template <typename C>
inline constexpr int64_t kUnitCells = kGroupsPerMetadataByte * C::kCells;
template <typename C>
inline constexpr int64_t kUnitBytes = kGroupsPerMetadataByte * C::kGroupBytes;
template <typename C>
inline constexpr int64_t kUnitKeptBytes = kGroupsPerMetadataByte * C::kKeptBytes;

template <typename C>
inline constexpr int kElementsPerCell = traits_of(C::kPattern).group_size / C::kCells;

// Cells in a row of k elements; half of the last one is unused if a cell is a pair and k is odd.
template <typename C>
constexpr int64_t num_cells(int64_t k) {
  return ceil_div(k, kElementsPerCell<C>);
}
// The units that lie wholly within a row. At most one more follows.
template <typename C>
constexpr int64_t num_whole_units(int64_t k) {
  return k / (kGroupsPerMetadataByte * traits_of(C::kPattern).group_size);
}
// Clears the half of a row's last cell that lies past K.
template <typename C>
void clear_past_end(std::byte* last_cell, int64_t k) {
  if (kElementsPerCell<C> == 2 && k % 2 == 1) *last_cell &= std::byte{0x0F};
}

struct Tile {
  int64_t row_begin;
  int64_t row_end;
  int64_t unit_begin;
  int64_t unit_end;
};

// Calls `body(tile)` for tiles that cover [rows, units]. A tile's rows are at most `max_row_bytes`
// dense bytes long, its whole about kTileBytes.
template <typename F>
void for_each_tile(int64_t rows, int64_t units, int64_t unit_bytes, int64_t max_row_bytes,
                   int num_threads, F&& body) {
  if (rows == 0 || units == 0) return;
  const int64_t tile_units = std::min(units, max_row_bytes / unit_bytes);
  const int64_t tile_rows = std::clamp<int64_t>(kTileBytes / (tile_units * unit_bytes), 1, rows);
  const int64_t tiles_across = ceil_div(units, tile_units);
  const int64_t tiles_down = ceil_div(rows, tile_rows);
  parallel_for(tiles_down * tiles_across, num_threads, [&](int64_t task) {
    const int64_t row = task / tiles_across * tile_rows;
    const int64_t unit = task % tiles_across * tile_units;
    body(Tile{row, std::min(row + tile_rows, rows), unit, std::min(unit + tile_units, units)});
  });
}

struct Span {
  int64_t row;
  int64_t unit;            // the first one's index in the row
  int64_t units;           // whole, but for the row's last: then units is 1, filled up with zeros
  int64_t groups;          // of which this many lie within the row
  int64_t cells;           // and this many cells
  const std::byte* dense;  // units * kUnitBytes, contiguous
  bool is_whole() const { return groups == units * kGroupsPerMetadataByte; }
};

// Copies `count` cells from `first_cell` of a row of w to `target`.
template <typename C>
[[gnu::noinline]] void gather(const DenseView& w, int64_t row, int64_t first_cell, int64_t count,
                              std::byte* target) {
  const int64_t stride = w.col_stride * C::kCellBytes;
  const std::byte* source = static_cast<const std::byte*>(w.data) +
                            row * w.row_stride * C::kCellBytes + first_cell * stride;
  for (int64_t i = 0; i < count; ++i) {
    store(target + i * C::kCellBytes, load<typename C::Storage>(source + i * stride));
  }
}

// Calls `body(span)` for spans that cover w, in no particular order, from several threads.
template <typename C, typename F>
void for_each_span(const DenseView& w, int num_threads, F&& body) {
  const bool is_contiguous = w.col_stride == 1;
  const int64_t whole_units = num_whole_units<C>(w.k);
  const auto visit_whole = [&](int64_t row, int64_t unit, int64_t units) {
    alignas(64) std::byte gathered[kGatherBytes];
    const std::byte* dense = gathered;
    if (is_contiguous) {
      dense = static_cast<const std::byte*>(w.data) + row * w.row_stride * C::kCellBytes +
              unit * kUnitBytes<C>;
    } else {
      gather<C>(w, row, unit * kUnitCells<C>, units * kUnitCells<C>, gathered);
    }
    body(Span{row, unit, units, units * kGroupsPerMetadataByte, units * kUnitCells<C>, dense});
  };
  const auto visit_ragged = [&](int64_t row) {
    std::byte padded[kUnitBytes<C>] = {};
    const int64_t first_cell = whole_units * kUnitCells<C>;
    const int64_t cells = num_cells<C>(w.k) - first_cell;
    gather<C>(w, row, first_cell, cells, padded);
    clear_past_end<C>(padded + (cells - 1) * C::kCellBytes, w.k);
    body(Span{row, whole_units, 1, ceil_div(cells, C::kCells), cells, padded});
  };
  for_each_tile(w.rows, metadata_row_bytes(C::kPattern, w.k), kUnitBytes<C>,
                is_contiguous ? kTileBytes : kGatherBytes, num_threads, [&](const Tile& tile) {
                  const int64_t whole_end = std::min(tile.unit_end, whole_units);
                  for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
                    if (whole_end > tile.unit_begin) {
                      visit_whole(row, tile.unit_begin, whole_end - tile.unit_begin);
                    }
                    if (tile.unit_end > whole_end) visit_ragged(row);
                  }
                });
}

// The first position, in row-major order, of those that several threads report in any order.
class FirstPosition {
 public:
  explicit FirstPosition(int64_t groups_per_row) : groups_per_row_(groups_per_row) {}

  void report(int64_t row, int64_t group) {
    const int64_t index = row * groups_per_row_ + group;
    int64_t first = first_.load(std::memory_order_relaxed);
    while (index < first &&
           !first_.compare_exchange_weak(first, index, std::memory_order_relaxed)) {
    }
  }
  // Whether one before (row, group) is known, so that looking there is of no use.
  bool is_before(int64_t row, int64_t group) const {
    return first_.load(std::memory_order_relaxed) < row * groups_per_row_ + group;
  }
  std::optional<GroupPosition> get() const {
    const int64_t index = first_.load(std::memory_order_relaxed);
    if (index == kNone) return std::nullopt;
    return GroupPosition{index / groups_per_row_, index % groups_per_row_};
  }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  const int64_t groups_per_row_;
  std::atomic<int64_t> first_{kNone};
};

}  // namespace sparse_gemm::format
