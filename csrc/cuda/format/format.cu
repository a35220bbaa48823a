// prune, check, compress, decompress, pack and unpack on the device: one warp a packed tile, each
// byte read once and written once.
#include <cstdint>
#include <string>

#include "cuda/format/device_group.h"
#include "cuda/format/format.h"
#include "cuda/format/packed_tile.h"
#include "cuda/runtime/cuda_status.h"
#include "cuda/runtime/launch_kernel.h"

namespace sparse_gemm::cuda {
namespace {

// [rows, K] of 16-bit elements at any strides.
struct DenseMatrix {
  const uint16_t* data;
  int64_t rows;
  int64_t k;
  int64_t row_stride;
  int64_t col_stride;
  bool has_aligned_groups;  // each group is 8 neighbouring bytes at a multiple of 8

  // A group, with zeros beyond the matrix.
  __device__ Group group(int64_t row, int64_t group) const {
    const int64_t k_begin = group * kPlaces;
    if (row >= rows || k_begin >= k) return {0, 0};
    const uint16_t* first = data + row * row_stride + k_begin * col_stride;
    if (has_aligned_groups && k_begin + kPlaces <= k) {
      const uint2 words = *reinterpret_cast<const uint2*>(first);
      return {words.x, words.y};
    }
    uint32_t place[kPlaces];
#pragma unroll
    for (int i = 0; i < kPlaces; ++i) place[i] = k_begin + i < k ? first[i * col_stride] : 0u;
    return {place[0] | place[1] << kElemBits, place[2] | place[3] << kElemBits};
  }
};

// Contiguous [rows, K] to be written.
struct DenseOutput {
  uint16_t* data;
  int64_t rows;
  int64_t k;
  bool has_aligned_groups;  // as DenseMatrix

  // What lies beyond the matrix is dropped.
  __device__ void put(int64_t row, int64_t group, const Group& value) const {
    const int64_t k_begin = group * kPlaces;
    if (row >= rows) return;
    uint16_t* first = data + row * k + k_begin;
    if (has_aligned_groups && k_begin + kPlaces <= k) {
      *reinterpret_cast<uint2*>(first) = make_uint2(value.low, value.high);
    } else {
#pragma unroll
      for (int i = 0; i < kPlaces; ++i) {
        if (k_begin + i < k) first[i] = value.place(i);
      }
    }
  }
};

__device__ __forceinline__ int64_t flat_index(const TilePosition& position, PackedGroup at,
                                              int64_t k) {
  return position.row_of(at) * format::groups_per_row(k) + position.group_of(at);
}

__device__ __forceinline__ void report(int64_t first, int64_t* violation) {
  if (first != kNoViolation) {
    atomicMin(reinterpret_cast<long long*>(violation), static_cast<long long>(first));
  }
}

__global__ void check_kernel(DenseMatrix w, int64_t num_tiles, int64_t* violation) {
  const TilePosition position = tile_position(format::num_packed_k_tiles(w.k));
  if (position.tile >= num_tiles) return;
  int64_t first = kNoViolation;
  for_each_group([&](PackedGroup at) {
    const Group group = w.group(position.row_of(at), position.group_of(at));
    if (has_too_many(nonzero_mask(group))) first = min(first, flat_index(position, at, w.k));
  });
  report(first, violation);
}

template <typename Place>
__global__ void compress_kernel(DenseMatrix w, int64_t num_tiles, format::Policy policy,
                                uint4* values, uint32_t* metadata, int64_t* violation) {
  const TilePosition position = tile_position(format::num_packed_k_tiles(w.k));
  if (position.tile >= num_tiles) return;
  int64_t first = kNoViolation;
  uint32_t bits[format::kPackedStepsPerTile][kLaters] = {};
  HeldTile held;
  for_each_group([&](PackedGroup at) {
    Group group = w.group(position.row_of(at), position.group_of(at));
    if (policy == format::Policy::kPrune) group = prune<Place>(group);
    const unsigned mask = nonzero_mask(group);
    if (has_too_many(mask)) first = min(first, flat_index(position, at, w.k));
    const uint32_t nibble = nibble_of(mask);
    bits[at.k_step][at.later] |= nibble << metadata_bit(at, position.lane % format::kLanesPerQuad);
    held.word_of(at) = kept_places(group, nibble);
  });
  held.metadata = gather_metadata(bits, position.lane);
  store_packed(position, held, values, metadata);
  report(first, violation);
}

template <typename Place>
__global__ void prune_kernel(DenseMatrix w, int64_t num_tiles, DenseOutput out) {
  const TilePosition position = tile_position(format::num_packed_k_tiles(w.k));
  if (position.tile >= num_tiles) return;
  for_each_group([&](PackedGroup at) {
    const int64_t row = position.row_of(at);
    const int64_t group = position.group_of(at);
    out.put(row, group, prune<Place>(w.group(row, group)));
  });
}

__global__ void decompress_kernel(const uint4* values, const uint32_t* metadata, int64_t num_tiles,
                                  DenseOutput out) {
  const TilePosition position = tile_position(format::num_packed_k_tiles(out.k));
  if (position.tile >= num_tiles) return;
  HeldTile held = load_packed(position, values, metadata);
  uint32_t bits[format::kPackedStepsPerTile][kLaters];
  spread_metadata(held.metadata, bits);
  for_each_group([&](PackedGroup at) {
    const uint32_t nibble =
        bits[at.k_step][at.later] >> metadata_bit(at, position.lane % format::kLanesPerQuad) & 0xF;
    out.put(position.row_of(at), position.group_of(at), spread(held.word_of(at), nibble));
  });
}

// Canonical values are read and written as they are held: two elements, one register of A.
// `has_aligned_words`: they begin at a multiple of 4 bytes.
__global__ void pack_kernel(const uint16_t* values, const uint8_t* metadata, int64_t rows,
                            int64_t k, int64_t num_tiles, bool has_aligned_words,
                            uint4* packed_values, uint32_t* packed_metadata) {
  const TilePosition position = tile_position(format::num_packed_k_tiles(k));
  if (position.tile >= num_tiles) return;
  const int64_t groups = format::groups_per_row(k);
  const int64_t row_bytes = format::canonical_row_bytes(k);
  uint32_t bits[format::kPackedStepsPerTile][kLaters] = {};
  HeldTile held;
  for_each_group([&](PackedGroup at) {
    const int64_t row = position.row_of(at);
    const int64_t group = position.group_of(at);
    uint32_t word = 0;
    uint32_t nibble = format::kZeroGroupNibble;
    if (row < rows && group < groups) {
      const uint16_t* first = values + (row * groups + group) * kKept;
      word = has_aligned_words ? *reinterpret_cast<const uint32_t*>(first)
                               : first[0] | static_cast<uint32_t>(first[1]) << kElemBits;
      nibble = metadata[row * row_bytes + group / 2] >> (group % 2 * kMetadataBitsPerGroup) & 0xF;
    }
    bits[at.k_step][at.later] |= nibble << metadata_bit(at, position.lane % format::kLanesPerQuad);
    held.word_of(at) = word;
  });
  held.metadata = gather_metadata(bits, position.lane);
  store_packed(position, held, packed_values, packed_metadata);
}

// A byte of canonical metadata is two groups that neighbouring lanes hold, and it stands as it is
// in the packed word: the even lanes write. The spare nibble of a row comes from the zero groups
// that fill up K.
__global__ void unpack_kernel(const uint4* packed_values, const uint32_t* packed_metadata,
                              int64_t rows, int64_t k, int64_t num_tiles, bool has_aligned_words,
                              uint16_t* values, uint8_t* metadata) {
  const TilePosition position = tile_position(format::num_packed_k_tiles(k));
  if (position.tile >= num_tiles) return;
  const int64_t groups = format::groups_per_row(k);
  const int64_t row_bytes = format::canonical_row_bytes(k);
  HeldTile held = load_packed(position, packed_values, packed_metadata);
  uint32_t bits[format::kPackedStepsPerTile][kLaters];
  spread_metadata(held.metadata, bits);
  const int lane_in_quad = position.lane % format::kLanesPerQuad;
  for_each_group([&](PackedGroup at) {
    const int64_t row = position.row_of(at);
    const int64_t group = position.group_of(at);
    if (row >= rows || group >= groups) return;
    const uint32_t word = held.word_of(at);
    uint16_t* first = values + (row * groups + group) * kKept;
    if (has_aligned_words) {
      *reinterpret_cast<uint32_t*>(first) = word;
    } else {
      first[0] = static_cast<uint16_t>(word);
      first[1] = static_cast<uint16_t>(word >> kElemBits);
    }
    if (lane_in_quad % kGroupsPerMetadataByte == 0) {
      metadata[row * row_bytes + group / kGroupsPerMetadataByte] =
          static_cast<uint8_t>(bits[at.k_step][at.later] >> metadata_bit(at, lane_in_quad));
    }
  });
}

bool is_aligned(const void* data, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0;
}

constexpr int64_t kGroupBytes = 8;

DenseOutput dense_output(void* out, int64_t rows, int64_t k) {
  return {static_cast<uint16_t*>(out), rows, k, k % kPlaces == 0 && is_aligned(out, kGroupBytes)};
}

DenseMatrix dense_matrix(const format::DenseView& w) {
  return {static_cast<const uint16_t*>(w.data),
          w.rows,
          w.k,
          w.row_stride,
          w.col_stride,
          w.col_stride == 1 && w.row_stride % kPlaces == 0 && is_aligned(w.data, kGroupBytes)};
}

// Launches kernel(args...) with a warp for each of `num_tiles` tiles.
template <typename... Params, typename... Args>
Status launch_tiles(void (*kernel)(Params...), const char* what, int64_t num_tiles, Target target,
                    Args... args) {
  constexpr int64_t kMaxCtas = INT32_MAX;  // of a grid's first dimension
  if (num_tiles == 0) return Status::ok();
  const int64_t ctas = ceil_div(num_tiles, kWarpsPerCta);
  if (ctas > kMaxCtas) return Status::unsupported(std::string(what) + ": the matrix is too large");
  const DeviceGuard guard(target.device);
  if (!guard.is_ok()) return guard.status();
  return launch_kernel(kernel, what, {ctas, kWarpsPerCta * format::kLanesPerWarp}, target.stream,
                       args...);
}

}  // namespace

Status check(const format::DenseView& w, Pattern, int64_t* violation, Target target) {
  const int64_t tiles = format::num_packed_tiles(w.rows, w.k);
  return launch_tiles(check_kernel, "check", tiles, target, dense_matrix(w), tiles, violation);
}

Status compress(const format::DenseView& w, format::Policy policy, const PackedView& packed,
                int64_t* violation, Target target) {
  const int64_t tiles = format::num_packed_tiles(w.rows, w.k);
  const auto kernel = w.dtype == DType::kFloat16 ? compress_kernel<format::Float16Place>
                                                 : compress_kernel<format::BFloat16Place>;
  return launch_tiles(kernel, "compress", tiles, target, dense_matrix(w), tiles, policy,
                      static_cast<uint4*>(packed.values), static_cast<uint32_t*>(packed.metadata),
                      violation);
}

Status prune(const format::DenseView& w, Pattern, void* out, Target target) {
  const int64_t tiles = format::num_packed_tiles(w.rows, w.k);
  const auto kernel = w.dtype == DType::kFloat16 ? prune_kernel<format::Float16Place>
                                                 : prune_kernel<format::BFloat16Place>;
  return launch_tiles(kernel, "prune", tiles, target, dense_matrix(w), tiles,
                      dense_output(out, w.rows, w.k));
}

Status decompress(const PackedView& packed, void* out, Target target) {
  const int64_t tiles = format::num_packed_tiles(packed.rows, packed.k);
  return launch_tiles(decompress_kernel, "decompress", tiles, target,
                      static_cast<const uint4*>(packed.values),
                      static_cast<const uint32_t*>(packed.metadata), tiles,
                      dense_output(out, packed.rows, packed.k));
}

Status pack(const format::CompressedView& canonical, const PackedView& packed, Target target) {
  constexpr int64_t kWordBytes = 4;
  const int64_t tiles = format::num_packed_tiles(packed.rows, packed.k);
  return launch_tiles(pack_kernel, "pack", tiles, target,
                      static_cast<const uint16_t*>(canonical.values), canonical.metadata,
                      packed.rows, packed.k, tiles, is_aligned(canonical.values, kWordBytes),
                      static_cast<uint4*>(packed.values), static_cast<uint32_t*>(packed.metadata));
}

Status unpack(const PackedView& packed, void* values, uint8_t* metadata, Target target) {
  constexpr int64_t kWordBytes = 4;
  const int64_t tiles = format::num_packed_tiles(packed.rows, packed.k);
  return launch_tiles(unpack_kernel, "unpack", tiles, target,
                      static_cast<const uint4*>(packed.values),
                      static_cast<const uint32_t*>(packed.metadata), packed.rows, packed.k, tiles,
                      is_aligned(values, kWordBytes), static_cast<uint16_t*>(values), metadata);
}

}  // namespace sparse_gemm::cuda
