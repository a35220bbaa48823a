// The compression format on the device: prune, check, compress, decompress, pack and unpack a
// matrix [rows, K], or a batch of them. Semantics are those of format/format.h; what is written is
// the packed storage of format/packed_order.h, or is made from it. Addresses are the device's;
// packed ones are multiples of 16 bytes, as allocators give them.
#pragma once

#include <cstdint>

#include "core/status.h"
#include "cuda/runtime/runtime.h"
#include "format/format.h"
#include "format/packed_order.h"

namespace sparse_gemm::cuda {

// Set `*violation` to this before check and compress.
inline constexpr int64_t kNoViolation = INT64_MAX;

// One matrix, or a batch of them: packed ones lie one after another, each padded to whole strips;
// dense and canonical ones are then a matrix of batch * rows rows.
struct PackedView {
  void* values;
  void* metadata;
  DType dtype;
  Pattern pattern;
  int64_t rows;  // of each matrix
  int64_t k;
  bool as_8_bit = false;  // 4:8 as Multiply::kS4AsS8 reads it
  int64_t batch = 1;

  format::PackedType type() const { return format::packed_type_of(pattern, dtype, as_8_bit); }
};

// Writes `w` to `out`, contiguous [rows, K], with all but the largest magnitudes of each group set
// to +0.
Status prune(const format::DenseView& w, Pattern pattern, void* out, Target target);

// Lowers `*violation` (on the device) to row * num_groups + group of the first group, in row-major
// order, with more non-zeros than the pattern keeps.
Status check(const format::DenseView& w, Pattern pattern, int64_t* violation, Target target);

// With Policy::kRaise also does what check does; if there is a violation, what was written is
// meaningless. With Policy::kPrune, `violation` is not touched.
Status compress(const format::DenseView& w, format::Policy policy, const PackedView& packed,
                int64_t* violation, Target target);

// Writes the dense matrix to `out`, contiguous [rows, K].
Status decompress(const PackedView& packed, void* out, Target target);

// From and to canonical storage. What was packed as 8 bits comes back as 4.
Status pack(const format::CompressedView& canonical, const PackedView& packed, Target target);
Status unpack(const PackedView& packed, void* values, uint8_t* metadata, Target target);

// The scales of groups of `group_size` elements of K of the matrix `packed` (its memory is not
// looked at): from canonical [rows, ceil(K / group_size)] of a 16-bit type, and back.
Status pack_scales(const void* scales, const PackedView& packed, int group_size, void* out,
                   Target target);
Status unpack_scales(const void* packed_scales, const PackedView& packed, int group_size, void* out,
                     Target target);

}  // namespace sparse_gemm::cuda
