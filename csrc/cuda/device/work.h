// Work: what one CTA of a GEMM kernel computes, piece after piece, as core/schedule.h deals it out.
//
// A piece is one tile of D and a range of steps along K. First come the pieces of the CTA's run of
// shared steps, so that other CTAs wait less for them, then its whole tiles.
//
// All in 32 bits, and with the divisions that can be made beforehand made on the host: an integer
// division of 64 bits takes as long as a load from memory. `WorkShape::of` says what fits.
#pragma once

#include <cstdint>

#include "core/schedule.h"
#include "cuda/device/tile_scheduler.h"

namespace sparse_gemm::cuda {

struct WorkShape {
  uint32_t tiles_m;  // of one matrix of the batch
  uint32_t tiles_n;
  uint32_t num_k_tiles;
  uint32_t num_whole_tiles;
  uint32_t num_ctas;
  uint32_t run_steps;  // shared steps of a CTA; the first `num_longer` CTAs have one more
  uint32_t num_longer;

  // Every count that a kernel forms stays below this.
  static constexpr int64_t kMaxCount = INT32_MAX;

  static constexpr bool fits(const Schedule& schedule) {
    return schedule.num_tiles < kMaxCount && schedule.num_k_tiles < kMaxCount &&
           schedule.num_ctas < kMaxCount && schedule.num_shared_steps() < kMaxCount &&
           schedule.num_whole_tiles < kMaxCount - schedule.num_ctas;
  }
  static constexpr WorkShape of(const Schedule& schedule, int64_t tiles_m, int64_t tiles_n) {
    const auto narrow = [](int64_t count) { return static_cast<uint32_t>(count); };
    return {narrow(tiles_m),
            narrow(tiles_n),
            narrow(schedule.num_k_tiles),
            narrow(schedule.num_whole_tiles),
            narrow(schedule.num_ctas),
            narrow(schedule.num_shared_steps() / schedule.num_ctas),
            narrow(schedule.num_shared_steps() % schedule.num_ctas)};
  }

  constexpr uint32_t run_begin(uint32_t cta) const {
    return cta * run_steps + (cta < num_longer ? cta : num_longer);
  }
  // The CTA whose run holds a shared step.
  constexpr uint32_t cta_of(uint32_t step) const {
    const uint32_t in_longer = num_longer * (run_steps + 1);
    return step < in_longer ? step / (run_steps + 1) : num_longer + (step - in_longer) / run_steps;
  }
};

struct Piece {
  uint32_t batch;
  TileCoord tile;
  uint32_t k_begin;  // of a tile's steps along K
  uint32_t k_end;
  uint32_t shared_tile;  // where !is_whole: the tile's number among the shared ones
  bool is_whole;         // covers all of K: nobody else computes this tile
};

// What is left to do of a CTA's work.
class Work {
 public:
  Work() = default;  // in shared memory, where nothing has an initial value
  constexpr Work(const WorkShape& shape, uint32_t cta)
      : step_(shape.run_begin(cta)), whole_tile_(cta) {}

  // The next piece of CTA `cta`; false if there is none left.
  constexpr bool next(const WorkShape& shape, uint32_t cta, Piece& piece) {
    const uint32_t run_end = shape.run_begin(cta + 1);
    if (step_ < run_end) {
      next_shared(shape, run_end, piece);
      return true;
    }
    if (whole_tile_ >= shape.num_whole_tiles) return false;
    place(shape, piece, whole_tile_);
    piece.k_begin = 0;
    piece.k_end = shape.num_k_tiles;
    piece.shared_tile = 0;
    piece.is_whole = true;
    whole_tile_ += shape.num_ctas;
    return true;
  }

 private:
  constexpr void next_shared(const WorkShape& shape, uint32_t run_end, Piece& piece) {
    piece.shared_tile = step_ / shape.num_k_tiles;
    piece.k_begin = step_ % shape.num_k_tiles;
    const uint32_t left_of_tile = shape.num_k_tiles - piece.k_begin;
    const uint32_t left_of_run = run_end - step_;
    const uint32_t steps = left_of_run < left_of_tile ? left_of_run : left_of_tile;
    piece.k_end = piece.k_begin + steps;
    piece.is_whole = steps == shape.num_k_tiles;
    place(shape, piece, shape.num_whole_tiles + piece.shared_tile);
    step_ += steps;
  }

  constexpr static void place(const WorkShape& shape, Piece& piece, uint32_t tile) {
    const uint32_t tiles = shape.tiles_m * shape.tiles_n;
    piece.batch = tile < tiles ? 0 : tile / tiles;
    piece.tile = tile_at(tile - piece.batch * tiles, shape.tiles_m, shape.tiles_n);
  }

  uint32_t step_;  // of the shared ones
  uint32_t whole_tile_;
};

}  // namespace sparse_gemm::cuda
