// The CUDA rooms, as Python sees them: device addresses, a device's index and a stream's handle as
// integers. Nothing waits. In a build without CUDA the same names are here and say so.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "bindings/gemm_arguments.h"
#include "bindings/status.h"
#include "cuda/format/format.h"
#include "cuda/runtime/runtime.h"
#include "format/packed_order.h"
#include "gemm.h"

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
  raise_if_error(Status::unsupported(
      "the cuda backend has no packed storage for pattern " + std::string(traits_of(pattern).name) +
      " of dtype " + std::string(name_of(dtype)) + "; expected 2:4 of float16 or bfloat16"));
}

void require_memory(const char* name, Address address, Address alignment) {
  if (address != 0 && address % alignment == 0) return;
  throw std::invalid_argument(std::string(name) + " is at address " + std::to_string(address) +
                              "; expected a multiple of " + std::to_string(alignment));
}

// Calls `start` without the interpreter's lock: where a stream's queue is full a launch waits,
// maybe for a callback that wants the lock.
template <typename Start>
void run_unlocked(const Start& start) {
  Status status = Status::ok();
  {
    py::gil_scoped_release release;
    status = start();
  }
  raise_if_error(status);
}

constexpr Address kElemAlignment = 2;
constexpr Address kPackedAlignment = 16;
constexpr Address kViolationAlignment = 8;

cuda::PackedView packed_view(Address values, Address metadata, DType dtype, Pattern pattern,
                             int64_t rows, int64_t k) {
  require_packed(pattern, dtype, rows, k);
  if (rows > 0 && k > 0) {
    require_memory("packed values", values, kPackedAlignment);
    require_memory("packed metadata", metadata, kPackedAlignment);
  }
  return {
      reinterpret_cast<void*>(values), reinterpret_cast<void*>(metadata), dtype, pattern, rows, k};
}

format::DenseView dense_view(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride,
                             int64_t col_stride, Pattern pattern) {
  require_packed(pattern, dtype, rows, k);
  if (rows > 0 && k > 0) require_memory("w", w, kElemAlignment);
  return {reinterpret_cast<const void*>(w), dtype, rows, k, row_stride, col_stride};
}

void prune(Address w, DType dtype, int64_t rows, int64_t k, int64_t row_stride, int64_t col_stride,
           Pattern pattern, Address out, int64_t device, int64_t stream) {
  const auto view = dense_view(w, dtype, rows, k, row_stride, col_stride, pattern);
  if (rows > 0 && k > 0) require_memory("out", out, kElemAlignment);
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
              int64_t col_stride, Pattern pattern, format::Policy policy, Address values,
              Address metadata, Address violation, int64_t device, int64_t stream) {
  const auto view = dense_view(w, dtype, rows, k, row_stride, col_stride, pattern);
  const auto packed = packed_view(values, metadata, dtype, pattern, rows, k);
  if (policy == format::Policy::kRaise) require_memory("violation", violation, kViolationAlignment);
  run_unlocked([&] {
    return cuda::compress(view, policy, packed, reinterpret_cast<int64_t*>(violation),
                          target(device, stream));
  });
}

void decompress(Address values, Address metadata, DType dtype, Pattern pattern, int64_t rows,
                int64_t k, Address out, int64_t device, int64_t stream) {
  const auto packed = packed_view(values, metadata, dtype, pattern, rows, k);
  if (rows > 0 && k > 0) require_memory("out", out, kElemAlignment);
  run_unlocked([&] {
    return cuda::decompress(packed, reinterpret_cast<void*>(out), target(device, stream));
  });
}

void pack(Address values, Address metadata, DType dtype, Pattern pattern, int64_t rows, int64_t k,
          Address packed_values, Address packed_metadata, int64_t device, int64_t stream) {
  const auto packed = packed_view(packed_values, packed_metadata, dtype, pattern, rows, k);
  if (rows > 0 && k > 0) require_memory("values", values, kElemAlignment);
  const format::CompressedView canonical{reinterpret_cast<const void*>(values),
                                         reinterpret_cast<const uint8_t*>(metadata),
                                         dtype,
                                         pattern,
                                         rows,
                                         k};
  run_unlocked([&] { return cuda::pack(canonical, packed, target(device, stream)); });
}

void unpack(Address packed_values, Address packed_metadata, DType dtype, Pattern pattern,
            int64_t rows, int64_t k, Address values, Address metadata, int64_t device,
            int64_t stream) {
  const auto packed = packed_view(packed_values, packed_metadata, dtype, pattern, rows, k);
  if (rows > 0 && k > 0) require_memory("values", values, kElemAlignment);
  run_unlocked([&] {
    return cuda::unpack(packed, reinterpret_cast<void*>(values),
                        reinterpret_cast<uint8_t*>(metadata), target(device, stream));
  });
}

void gemm(PyObject* const* arguments, Py_ssize_t count) {
  const GemmCall<2> call(arguments, count);
  run_unlocked([&] { return run_gemm(call.problem, target(call.place(0), call.place(1))); });
}

PyMethodDef gemm_method = fastcall_method<gemm>(
    "cuda_gemm",
    "Starts D = epilogue(A @ B) on a stream; see bindings/gemm_arguments.h for the arguments.");

// What a call of linear with contiguous activations and output would run.
CudaPlan plan(int64_t m, int64_t n, int64_t k, DType ab_dtype, Pattern pattern, DType d_dtype,
              const CudaProps& props) {
  Problem problem;
  problem.m = m;
  problem.n = n;
  problem.k = k;
  problem.a.dtype = problem.b.dtype = ab_dtype;
  problem.a.pattern = pattern;
  problem.b.row_stride = problem.d.row_stride = 1;
  problem.b.col_stride = k;
  problem.d.col_stride = m;
  problem.d.dtype = d_dtype;
  CudaPlan result;
  raise_if_error(plan_gemm(problem, props, &result));
  return result;
}

CudaProps device(int index) {
  const CudaProps* props = nullptr;
  raise_if_error(cuda::device_props(index, &props));
  return *props;
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

CudaProps make_props(std::string name, std::pair<int, int> capability, int sm_count,
                     int64_t shared_memory_per_block, int64_t shared_memory_per_sm,
                     int64_t l2_bytes, int64_t memory_bytes, int driver_version,
                     int runtime_version, bool emulated) {
  return {std::move(name),         capability.first,     capability.second, sm_count,
          shared_memory_per_block, shared_memory_per_sm, l2_bytes,          memory_bytes,
          driver_version,          runtime_version,      emulated};
}

void bind_props(py::module_& m) {
  using py::arg;
  // The defaults are an A100's.
  py::class_<CudaProps>(m, "CudaProps")
      .def(py::init(&make_props), py::kw_only(), arg("name") = "made up",
           arg("capability") = std::pair(8, 0), arg("sm_count") = 108,
           arg("shared_memory_per_block") = 163 << 10, arg("shared_memory_per_sm") = 164 << 10,
           arg("l2_bytes") = 40 << 20, arg("memory_bytes") = int64_t{80} << 30,
           arg("driver_version") = 0, arg("runtime_version") = 0, arg("emulated") = false)
      .def_readonly("name", &CudaProps::name)
      .def_property_readonly(
          "capability",
          [](const CudaProps& p) { return std::pair(p.capability_major, p.capability_minor); })
      .def_readonly("sm_count", &CudaProps::sm_count)
      .def_readonly("shared_memory_per_block", &CudaProps::shared_memory_per_block)
      .def_readonly("shared_memory_per_sm", &CudaProps::shared_memory_per_sm)
      .def_readonly("l2_bytes", &CudaProps::l2_bytes)
      .def_readonly("memory_bytes", &CudaProps::memory_bytes)
      .def_readonly("driver_version", &CudaProps::driver_version)
      .def_readonly("runtime_version", &CudaProps::runtime_version)
      .def_readonly("emulated", &CudaProps::emulated);
}

void bind_plan(py::module_& m) {
  py::class_<CudaPlan>(m, "CudaPlan")
      .def_property_readonly("kernel", [](const CudaPlan& p) { return p.config->name; })
      .def_property_readonly("why", [](const CudaPlan& p) { return p.config->why; })
      .def_property_readonly("b_load", [](const CudaPlan& p) { return name_of(p.b_load); })
      .def_property_readonly("tile_m", [](const CudaPlan& p) { return p.config->tile.m; })
      .def_property_readonly("tile_n", [](const CudaPlan& p) { return p.config->tile.n; })
      .def_property_readonly("k_tile", [](const CudaPlan& p) { return p.config->tile.k; })
      .def_property_readonly("num_stages",
                             [](const CudaPlan& p) { return p.config->tile.num_stages; })
      .def_property_readonly("num_threads",
                             [](const CudaPlan& p) { return p.config->tile.num_threads(); })
      .def_readonly("num_ctas", &CudaPlan::num_ctas)
      .def_readonly("shared_memory_bytes", &CudaPlan::shared_memory_bytes)
      .def_readonly("a_bytes", &CudaPlan::a_bytes)
      .def_readonly("multiply_adds", &CudaPlan::multiply_adds);
  m.def("cuda_plan", &plan);
}

void bind_packed(py::module_& m) {
  m.def("packed_supports", &format::packed_supports);
  m.def("packed_values_bytes", [](Pattern pattern, DType dtype, int64_t rows, int64_t k) {
    require_packed(pattern, dtype, rows, k);
    return format::packed_values_bytes(rows, k);
  });
  m.def("packed_metadata_bytes", [](Pattern pattern, DType dtype, int64_t rows, int64_t k) {
    require_packed(pattern, dtype, rows, k);
    return format::packed_metadata_bytes(rows, k);
  });
}

}  // namespace

void bind_cuda(py::module_& m) {
  bind_props(m);
  bind_plan(m);
  bind_packed(m);
  m.def("cuda_build", &build);
  m.def("cuda_device_count", &cuda::device_count);
  m.def("cuda_unavailable_reason", &cuda::unavailable_reason);
  m.def("cuda_device", &device);
  m.def("cuda_prune", &prune);
  m.def("cuda_check", &check);
  m.def("cuda_compress", &compress);
  m.def("cuda_decompress", &decompress);
  m.def("cuda_pack", &pack);
  m.def("cuda_unpack", &unpack);
  m.attr("cuda_gemm") = py::reinterpret_steal<py::object>(PyCFunction_New(&gemm_method, nullptr));
}

}  // namespace sparse_gemm::bindings
