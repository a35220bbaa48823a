// The format room, as Python sees it: addresses, extents and strides as integers. Who calls keeps
// the memory alive and has checked that it is as large as the extents say; the functions here check
// only what would make no sense at all.
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/bindings.h"
#include "core/dtype.h"
#include "core/pattern.h"
#include "cpu/cpu_props.h"
#include "format/format.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

using Address = uintptr_t;
// None, or (row, group) of the first group at which something is wrong.
using Violation = std::optional<std::pair<int64_t, int64_t>>;

Violation as_pair(const std::optional<format::GroupPosition>& position) {
  if (!position) return std::nullopt;
  return std::pair(position->row, position->group);
}

void require_extents(int64_t rows, int64_t k) {
  if (rows >= 0 && k >= 0) return;
  throw std::invalid_argument("rows and k are " + std::to_string(rows) + " and " +
                              std::to_string(k) + "; expected no negative extent");
}

void require_supported(Pattern pattern, DType dtype) {
  if (format::supports(pattern, dtype)) return;
  throw std::invalid_argument("pattern " + std::string(traits_of(pattern).name) +
                              " is not defined for dtype " + std::string(name_of(dtype)));
}

format::DenseView dense_view(Address data, DType dtype, int64_t rows, int64_t k, int64_t row_stride,
                             int64_t col_stride, Pattern pattern) {
  require_extents(rows, k);
  require_supported(pattern, dtype);
  if (data == 0 && rows > 0 && k > 0) {
    throw std::invalid_argument("w has elements but no memory (address 0)");
  }
  return {reinterpret_cast<const void*>(data), dtype, rows, k, row_stride, col_stride};
}

Violation check(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride,
                int64_t col_stride, Pattern pattern, int num_threads) {
  const auto view = dense_view(w, dtype, rows, k, row_stride, col_stride, pattern);
  return as_pair(format::check(view, pattern, cpu::current_props(num_threads)));
}

void prune(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride, int64_t col_stride,
           Pattern pattern, Address out, int num_threads) {
  const auto view = dense_view(w, dtype, rows, k, row_stride, col_stride, pattern);
  format::prune(view, pattern, reinterpret_cast<void*>(out), cpu::current_props(num_threads));
}

Violation compress(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride,
                   int64_t col_stride, Pattern pattern, format::Policy policy, Address values,
                   Address metadata, int num_threads) {
  const auto view = dense_view(w, dtype, rows, k, row_stride, col_stride, pattern);
  return as_pair(format::compress(view, pattern, policy, reinterpret_cast<void*>(values),
                                  reinterpret_cast<uint8_t*>(metadata),
                                  cpu::current_props(num_threads)));
}

void decompress(Address values, Address metadata, DType dtype, Pattern pattern, int64_t rows,
                int64_t k, Address out, int num_threads) {
  require_extents(rows, k);
  require_supported(pattern, dtype);
  const format::CompressedView a{reinterpret_cast<const void*>(values),
                                 reinterpret_cast<const uint8_t*>(metadata),
                                 dtype,
                                 pattern,
                                 rows,
                                 k};
  format::decompress(a, reinterpret_cast<void*>(out), cpu::current_props(num_threads));
}

Violation check_metadata(Address metadata, Pattern pattern, int64_t rows, int64_t k,
                         int num_threads) {
  require_extents(rows, k);
  return as_pair(format::check_metadata(reinterpret_cast<const uint8_t*>(metadata), pattern, rows,
                                        k, cpu::current_props(num_threads)));
}

void bind_enums(py::module_& m) {
  py::enum_<DType> dtype(m, "DType", "Element types; 4-bit ones are stored two to a byte.");
  for (int i = 0; i < kNumDTypes; ++i) {
    dtype.value(std::string(kDTypeTraits[i].name).c_str(), static_cast<DType>(i));
  }
  py::enum_<Pattern>(m, "Pattern", "Sparsity patterns: places kept of places in a group.")
      .value("k2of4", Pattern::k2of4)
      .value("k1of2", Pattern::k1of2)
      .value("k4of8", Pattern::k4of8);
  py::enum_<format::Policy>(m, "Policy", "What compress does with too many non-zeros in a group.")
      .value("raise_", format::Policy::kRaise)
      .value("prune", format::Policy::kPrune);
}

}  // namespace

void bind_format(py::module_& m) {
  bind_enums(m);
  const auto no_gil = py::call_guard<py::gil_scoped_release>();
  using py::arg;

  m.def("supports", &format::supports, arg("pattern"), arg("dtype"),
        "Whether matrices of dtype can be compressed with pattern.");
  m.def("k_compressed", py::overload_cast<Pattern, DType, int64_t>(&k_compressed), arg("pattern"),
        arg("dtype"), arg("k"), "Units (elements, or bytes of two 4-bit ones) in a row of values.");
  m.def("metadata_row_bytes", &metadata_row_bytes, arg("pattern"), arg("k"),
        "Bytes in a row of canonical metadata.");
  m.def("check", &check, arg("w"), arg("dtype"), arg("rows"), arg("k"), arg("row_stride"),
        arg("col_stride"), arg("pattern"), arg("num_threads"), no_gil,
        "None, or (row, group) of the first group with too many non-zeros.");
  m.def("prune", &prune, arg("w"), arg("dtype"), arg("rows"), arg("k"), arg("row_stride"),
        arg("col_stride"), arg("pattern"), arg("out"), arg("num_threads"), no_gil,
        "Writes w to out, contiguous [rows, k], with the smallest places of each group set to +0.");
  m.def("compress", &compress, arg("w"), arg("dtype"), arg("rows"), arg("k"), arg("row_stride"),
        arg("col_stride"), arg("pattern"), arg("policy"), arg("values"), arg("metadata"),
        arg("num_threads"), no_gil,
        "Writes canonical values and metadata. With Policy.raise_ returns what check does; if that "
        "is not None, what was written is meaningless.");
  m.def("decompress", &decompress, arg("values"), arg("metadata"), arg("dtype"), arg("pattern"),
        arg("rows"), arg("k"), arg("out"), arg("num_threads"), no_gil,
        "Writes the dense matrix to out, contiguous [rows, k].");
  m.def("check_metadata", &check_metadata, arg("metadata"), arg("pattern"), arg("rows"), arg("k"),
        arg("num_threads"), no_gil,
        "None, or (row, group) of the first nibble that names no valid choice of places.");
}

}  // namespace sparse_gemm::bindings
