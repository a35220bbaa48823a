// The CUDA rooms, as Python sees them: device addresses, a device's index and a stream's handle as
// integers. Nothing waits. In a build without CUDA the same names are here and say so.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/status.h"
#include "bindings/unlocked.h"
#include "cuda/format/format.h"
#include "cuda/runtime/runtime.h"
#include "format/packed_order.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

using Address = uintptr_t;

cuda::Target target(int64_t device, int64_t stream) {
  return {static_cast<int>(device), static_cast<uintptr_t>(stream)};
}

void require_packed(Pattern pattern, DType dtype, int64_t rows, int64_t k) {
  if (rows < 0 || k < 0) {
    throw std::invalid_argument("rows and k are " + std::to_string(rows) + " and " +
                                std::to_string(k) + "; expected no negative extent");
  }
  if (format::packed_supports(pattern, dtype)) return;
  raise_if_error(Status::unsupported("the cuda backend has no packed storage for pattern " +
                                     std::string(traits_of(pattern).name) + " of dtype " +
                                     std::string(name_of(dtype)) +
                                     "; expected 2:4 of float16, bfloat16, int8, float8_e4m3fn, "
                                     "float8_e5m2 or int4, 1:2 of float32, "
                                     "or 4:8 of int4"));
}

void require_memory(const char* name, Address address, Address alignment) {
  if (address != 0 && address % alignment == 0) return;
  throw std::invalid_argument(std::string(name) + " is at address " + std::to_string(address) +
                              "; expected a multiple of " + std::to_string(alignment));
}

constexpr Address kScaleAlignment = 2;
constexpr Address kPackedAlignment = 16;
constexpr Address kViolationAlignment = 8;

Address alignment_of(DType dtype) {
  return static_cast<Address>(bytes_of(dtype));
}

// What a matrix is, wherever it is stored, or each of a batch. `as_8_bit`: 4:8 as a device without
// 4-bit mma.sp has it.
struct Matrix {
  Pattern pattern;
  DType dtype;
  int64_t rows;
  int64_t k;
  bool as_8_bit;
  int64_t batch;

  bool is_empty() const { return rows == 0 || k == 0 || batch == 0; }
};

Matrix matrix_of(Pattern pattern, DType dtype, int64_t rows, int64_t k, bool as_8_bit,
                 int64_t batch) {
  require_packed(pattern, dtype, rows, k);
  if (batch < 0) {
    throw std::invalid_argument("batch is " + std::to_string(batch) + "; expected at least 0");
  }
  if (as_8_bit && pattern != Pattern::k4of8) {
    throw std::invalid_argument("as_8_bit is true for pattern " +
                                std::string(traits_of(pattern).name) + "; expected 4:8");
  }
  return {pattern, dtype, rows, k, as_8_bit, batch};
}

cuda::PackedView packed_view(const Matrix& a, Address values, Address metadata) {
  if (!a.is_empty()) {
    require_memory("packed values", values, kPackedAlignment);
    require_memory("packed metadata", metadata, kPackedAlignment);
  }
  return {reinterpret_cast<void*>(values),
          reinterpret_cast<void*>(metadata),
          a.dtype,
          a.pattern,
          a.rows,
          a.k,
          a.as_8_bit,
          a.batch};
}

format::DenseView dense_view(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride,
                             int64_t col_stride, Pattern pattern) {
  require_packed(pattern, dtype, rows, k);
  if (rows > 0 && k > 0) require_memory("w", w, alignment_of(dtype));
  return {reinterpret_cast<const void*>(w), dtype, rows, k, row_stride, col_stride};
}

void prune(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride, int64_t col_stride,
           Pattern pattern, Address out, int64_t device, int64_t stream) {
  const auto view = dense_view(w, dtype, rows, k, row_stride, col_stride, pattern);
  if (rows > 0 && k > 0) require_memory("out", out, alignment_of(dtype));
  run_unlocked([&] {
    return cuda::prune(view, pattern, reinterpret_cast<void*>(out), target(device, stream));
  });
}

void check(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride, int64_t col_stride,
           Pattern pattern, Address violation, int64_t device, int64_t stream) {
  const auto view = dense_view(w, dtype, rows, k, row_stride, col_stride, pattern);
  require_memory("violation", violation, kViolationAlignment);
  run_unlocked([&] {
    return cuda::check(view, pattern, reinterpret_cast<int64_t*>(violation),
                       target(device, stream));
  });
}

void compress(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride,
              int64_t col_stride, Pattern pattern, bool as_8_bit, int64_t batch,
              format::Policy policy, Address values, Address metadata, Address violation,
              int64_t device, int64_t stream) {
  const auto view = dense_view(w, dtype, rows, k, row_stride, col_stride, pattern);
  if (batch < 0 || (batch == 0 ? rows != 0 : rows % batch != 0)) {
    throw std::invalid_argument("rows is " + std::to_string(rows) + "; expected a multiple of " +
                                std::to_string(batch) + ", the number of matrices");
  }
  const int64_t matrix_rows = batch == 0 ? 0 : rows / batch;
  const auto packed =
      packed_view(matrix_of(pattern, dtype, matrix_rows, k, as_8_bit, batch), values, metadata);
  if (policy == format::Policy::kRaise) require_memory("violation", violation, kViolationAlignment);
  run_unlocked([&] {
    return cuda::compress(view, policy, packed, reinterpret_cast<int64_t*>(violation),
                          target(device, stream));
  });
}

void decompress(Pattern pattern, DType dtype, int64_t rows, int64_t k, bool as_8_bit, int64_t batch,
                Address values, Address metadata, Address out, int64_t device, int64_t stream) {
  const Matrix matrix = matrix_of(pattern, dtype, rows, k, as_8_bit, batch);
  const auto packed = packed_view(matrix, values, metadata);
  if (!matrix.is_empty()) require_memory("out", out, alignment_of(dtype));
  run_unlocked([&] {
    return cuda::decompress(packed, reinterpret_cast<void*>(out), target(device, stream));
  });
}

void pack(Pattern pattern, DType dtype, int64_t rows, int64_t k, bool as_8_bit, int64_t batch,
          Address values, Address metadata, Address packed_values, Address packed_metadata,
          int64_t device, int64_t stream) {
  const Matrix matrix = matrix_of(pattern, dtype, rows, k, as_8_bit, batch);
  const auto packed = packed_view(matrix, packed_values, packed_metadata);
  if (!matrix.is_empty()) {
    require_memory("values", values, alignment_of(dtype));
    require_memory("metadata", metadata, 1);
  }
  const format::CompressedView canonical{reinterpret_cast<const void*>(values),
                                         reinterpret_cast<const uint8_t*>(metadata),
                                         dtype,
                                         pattern,
                                         batch * rows,
                                         k};
  run_unlocked([&] { return cuda::pack(canonical, packed, target(device, stream)); });
}

void unpack(Pattern pattern, DType dtype, int64_t rows, int64_t k, bool as_8_bit, int64_t batch,
            Address packed_values, Address packed_metadata, Address values, Address metadata,
            int64_t device, int64_t stream) {
  const Matrix matrix = matrix_of(pattern, dtype, rows, k, as_8_bit, batch);
  const auto packed = packed_view(matrix, packed_values, packed_metadata);
  if (!matrix.is_empty()) {
    require_memory("values", values, alignment_of(dtype));
    require_memory("metadata", metadata, 1);
  }
  run_unlocked([&] {
    return cuda::unpack(packed, reinterpret_cast<void*>(values),
                        reinterpret_cast<uint8_t*>(metadata), target(device, stream));
  });
}

bool group_size_fits(Pattern pattern, DType dtype, int64_t group_size) {
  return format::packed_supports(pattern, dtype) &&
         format::packed_group_size_fits(format::packed_type_of(pattern, dtype), group_size);
}

// Matrices whose memory is not looked at, and whose groups of K have scales.
cuda::PackedView scaled_view(Pattern pattern, DType dtype, int64_t rows, int64_t k, int64_t batch,
                             int64_t group_size) {
  const Matrix matrix = matrix_of(pattern, dtype, rows, k, false, batch);
  if (!group_size_fits(pattern, dtype, group_size)) {
    throw std::invalid_argument("group_size is " + std::to_string(group_size) +
                                "; expected 32, 64 or 128, and 2:4 of a type of 8 or 4 bits");
  }
  return {nullptr, nullptr, matrix.dtype, matrix.pattern, matrix.rows, matrix.k, false, batch};
}

void require_scales(const cuda::PackedView& view, Address canonical, Address packed) {
  if (view.rows == 0 || view.k == 0 || view.batch == 0) return;
  require_memory("scales", canonical, kScaleAlignment);
  require_memory("packed scales", packed, kPackedAlignment);
}

void pack_scales(Pattern pattern, DType dtype, int64_t rows, int64_t k, int64_t batch,
                 int64_t group_size, Address scales, Address packed_scales, int64_t device,
                 int64_t stream) {
  const auto view = scaled_view(pattern, dtype, rows, k, batch, group_size);
  require_scales(view, scales, packed_scales);
  run_unlocked([&] {
    return cuda::pack_scales(reinterpret_cast<const void*>(scales), view,
                             static_cast<int>(group_size), reinterpret_cast<void*>(packed_scales),
                             target(device, stream));
  });
}

void unpack_scales(Pattern pattern, DType dtype, int64_t rows, int64_t k, int64_t batch,
                   int64_t group_size, Address packed_scales, Address scales, int64_t device,
                   int64_t stream) {
  const auto view = scaled_view(pattern, dtype, rows, k, batch, group_size);
  require_scales(view, scales, packed_scales);
  run_unlocked([&] {
    return cuda::unpack_scales(reinterpret_cast<const void*>(packed_scales), view,
                               static_cast<int>(group_size), reinterpret_cast<void*>(scales),
                               target(device, stream));
  });
}

py::object build() {
  const cuda::BuildInfo* info = cuda::build_info();
  if (info == nullptr) return py::none();
  py::dict result;
  result["compiler"] = info->compiler;
  result["architectures"] = py::str(info->architectures).attr("split")(",");
  result["runtime"] = info->runtime;
  return result;
}

// The bytes that `size` gives for a packed matrix.
template <int64_t (*size)(format::PackedType, int64_t, int64_t)>
int64_t packed_bytes(Pattern pattern, DType dtype, int64_t rows, int64_t k, bool as_8_bit) {
  matrix_of(pattern, dtype, rows, k, as_8_bit, 1);
  return size(format::packed_type_of(pattern, dtype, as_8_bit), rows, k);
}

int64_t packed_scales_bytes(Pattern pattern, DType dtype, int64_t rows, int64_t k,
                            int64_t group_size) {
  const auto view = scaled_view(pattern, dtype, rows, k, 1, group_size);
  return format::packed_scales_bytes(view.type(), rows, k, static_cast<int>(group_size));
}

void bind_packed(py::module_& m) {
  m.def("packed_supports", &format::packed_supports);
  m.def("packed_values_bytes", &packed_bytes<format::packed_values_bytes>);
  m.def("packed_metadata_bytes", &packed_bytes<format::packed_metadata_bytes>);
  m.def("packed_group_size_fits", &group_size_fits);
  m.def("packed_scales_bytes", &packed_scales_bytes);
}

}  // namespace

void bind_cuda(py::module_& m) {
  bind_packed(m);
  m.def("cuda_build", &build);
  m.def("cuda_device_count", &cuda::device_count);
  m.def("cuda_unavailable_reason", &cuda::unavailable_reason);
  m.def("cuda_prune", &prune);
  m.def("cuda_check", &check);
  m.def("cuda_compress", &compress);
  m.def("cuda_decompress", &decompress);
  m.def("cuda_pack", &pack);
  m.def("cuda_unpack", &unpack);
  m.def("cuda_pack_scales", &pack_scales);
  m.def("cuda_unpack_scales", &unpack_scales);
}

}  // namespace sparse_gemm::bindings
