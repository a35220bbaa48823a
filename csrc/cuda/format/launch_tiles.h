// Host side of the kernels of this room: a warp for each packed tile.
#pragma once

#include <cstdint>
#include <string>

#include "cuda/format/format.h"
#include "cuda/format/packed_tile.h"
#include "cuda/runtime/cuda_status.h"
#include "cuda/runtime/launch_kernel.h"

namespace sparse_gemm::cuda {

inline bool is_aligned(const void* data, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0;
}

// Of `batch` matrices of `rows` rows each.
inline TileGrid tile_grid(PackedType type, Pattern pattern, int64_t rows, int64_t k,
                          int64_t batch = 1) {
  return {batch * rows,
          num_groups(pattern, k),
          format::num_packed_k_tiles(type, k),
          batch * format::num_packed_tiles(type, rows, k),
          {rows, format::num_packed_strips(rows)}};
}
inline TileGrid tile_grid(const PackedView& packed) {
  return tile_grid(packed.type(), packed.pattern, packed.rows, packed.k, packed.batch);
}

// Launches kernel(args...) with `num_ctas` CTAs of kWarpsPerCta warps.
template <typename... Params, typename... Args>
Status launch_ctas(void (*kernel)(Params...), const char* what, int64_t num_ctas, Target target,
                   Args... args) {
  constexpr int64_t kMaxCtas = INT32_MAX;  // of a grid's first dimension
  if (num_ctas == 0) return Status::ok();
  if (num_ctas > kMaxCtas) {
    return Status::unsupported(std::string(what) + ": the matrix is too large");
  }
  const DeviceGuard guard(target.device);
  if (!guard.is_ok()) return guard.status();
  return launch_kernel(kernel, what, {num_ctas, kWarpsPerCta * format::kLanesPerWarp},
                       target.stream, args...);
}

// The same with a warp for each tile; the grid is the kernel's first argument.
template <typename... Params, typename... Args>
Status launch_tiles(void (*kernel)(TileGrid, Params...), const char* what, const TileGrid& grid,
                    Target target, Args... args) {
  return launch_ctas(kernel, what, ceil_div(grid.num_tiles, kWarpsPerCta), target, grid, args...);
}

}  // namespace sparse_gemm::cuda
