// The compression format on the CPU: prune, check, compress and decompress a matrix [rows, K].
//
// What is stored, and why, is in docs/format.md. Every function here takes what it is given as
// valid (pointers, extents, a dtype that goes with the pattern: see `supports`); the checks that
// name arguments stand where the user's words are known, in Python. `props` says which instructions
// may be used, and how many threads; results do not depend on either.
#pragma once

#include <cstdint>
#include <optional>

#include "core/device_props.h"
#include "core/dtype.h"
#include "core/pattern.h"

namespace sparse_gemm::format {

// A dense matrix [rows, K] as the caller holds it. Strides are in units of `bytes_of(dtype)` and
// may be negative or zero. 4-bit types are packed two to a byte, low nibble first: `k` stays the
// logical K, `col_stride` is that of the bytes, and an odd K leaves the last high nibble unread.
struct DenseView {
  const void* data;
  DType dtype;
  int64_t rows;
  int64_t k;
  int64_t row_stride;
  int64_t col_stride;
};

// Canonical storage of a compressed [rows, K]: contiguous, row-major.
struct CompressedView {
  const void* values;       // [rows, k_compressed(pattern, k)] of dtype
  const uint8_t* metadata;  // [rows, metadata_row_bytes(pattern, k)]
  DType dtype;
  Pattern pattern;
  int64_t rows;
  int64_t k;
};

// A place in the group structure: the first, in row-major order, at which something is wrong.
struct GroupPosition {
  int64_t row;
  int64_t group;
};

// What compress does with a group that holds more non-zeros than the pattern keeps.
enum class Policy : uint8_t { kRaise, kPrune };

// Whether a matrix of `dtype` can be compressed with `pattern`.
bool supports(Pattern pattern, DType dtype);

// The first group with more non-zeros than the pattern keeps; nothing if there is none.
std::optional<GroupPosition> check(const DenseView& w, Pattern pattern, const CpuProps& props);

// Writes `w` to `out` (contiguous [rows, K] of the same dtype) with all but the largest magnitudes
// of each group set to +0.
void prune(const DenseView& w, Pattern pattern, void* out, const CpuProps& props);

// Writes canonical values and metadata in one pass over `w`. With Policy::kRaise, the first
// violating group is returned and what was written is meaningless; with kPrune nothing is returned.
std::optional<GroupPosition> compress(const DenseView& w, Pattern pattern, Policy policy,
                                      void* values, uint8_t* metadata, const CpuProps& props);

// Writes the dense matrix to `out`, contiguous [rows, K] of the same dtype.
void decompress(const CompressedView& a, void* out, const CpuProps& props);

// The first group whose nibble is not a meaningful pair of positions; nothing if all are.
std::optional<GroupPosition> check_metadata(const uint8_t* metadata, Pattern pattern, int64_t rows,
                                            int64_t k, const CpuProps& props);

}  // namespace sparse_gemm::format
