// Bindings of the spine: pointers, extents and strides in; a Status becomes an exception.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "bindings/bindings.h"
#include "core/kernel_config.h"
#include "cpu/cpu_props.h"
#include "gemm.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

void raise_if_error(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk: return;
    case StatusCode::kInvalidArgument: throw py::value_error(status.message());
    case StatusCode::kOutOfMemory:
      PyErr_SetString(PyExc_MemoryError, status.message().c_str());
      throw py::error_already_set();
    case StatusCode::kUnsupported:
      const py::object type = py::module_::import("sparse_gemm.errors").attr("UnsupportedError");
      PyErr_SetString(type.ptr(), status.message().c_str());
      throw py::error_already_set();
  }
}

const void* pointer(uintptr_t address) { return reinterpret_cast<const void*>(address); }
void* mutable_pointer(uintptr_t address) { return reinterpret_cast<void*>(address); }

VectorOperand vector_operand(uintptr_t data, DType dtype, int64_t stride) {
  return {pointer(data), dtype, stride};
}
DenseOperand dense_operand(uintptr_t data, DType dtype, int64_t row_stride, int64_t col_stride) {
  return {mutable_pointer(data), dtype, row_stride, col_stride};
}

CpuProps cpu_props(int num_threads) { return {cpu::current_isa(), num_threads}; }

// All arguments are positional and plain: this is the call whose overhead users feel.
void gemm(int64_t m, int64_t n, int64_t k, uintptr_t values, uintptr_t metadata, DType a_dtype,
          Pattern pattern, const DenseOperand& b, const DenseOperand& d, const Epilogue* epilogue,
          int num_threads) {
  Problem problem{m, n, k, {}, b, d, {}};
  problem.a = {pointer(values), static_cast<const uint8_t*>(pointer(metadata)), a_dtype, pattern};
  if (epilogue != nullptr) problem.epilogue = *epilogue;
  Status status = Status::ok();
  {
    py::gil_scoped_release release;
    status = run_gemm(problem, cpu_props(num_threads));
  }
  raise_if_error(status);
}

Plan plan(int64_t m, int64_t n, int64_t k, DType ab_dtype, Pattern pattern, DType d_dtype, Isa isa,
          int num_threads) {
  Problem problem;
  problem.m = m;
  problem.n = n;
  problem.k = k;
  problem.a.dtype = problem.b.dtype = ab_dtype;
  problem.a.pattern = pattern;
  problem.d.dtype = d_dtype;
  Plan result;
  raise_if_error(plan_gemm(problem, {isa, num_threads}, &result));
  return result;
}

void bind_plan(py::module_& m) {
  py::class_<Plan>(m, "Plan")
      .def_property_readonly("kernel", [](const Plan& p) { return p.config->name; })
      .def_property_readonly("isa", [](const Plan& p) { return name_of(p.config->isa); })
      .def_property_readonly("why", [](const Plan& p) { return p.config->why; })
      .def_readonly("tile_m", &Plan::tile_m)
      .def_readonly("tile_n", &Plan::tile_n)
      .def_readonly("k_tile", &Plan::k_tile)
      .def_readonly("num_tasks", &Plan::num_tasks)
      .def_readonly("num_threads", &Plan::num_threads)
      .def_readonly("workspace_bytes", &Plan::workspace_bytes)
      .def_readonly("a_bytes", &Plan::a_bytes)
      .def_readonly("multiply_adds", &Plan::multiply_adds);
  m.def("plan", &plan);
}

void bind_isa(py::module_& m) {
  py::enum_<Isa> isa(m, "Isa");
  for (int i = 0; i < kNumIsas; ++i) {
    isa.value(std::string(kIsaNames[i]).c_str(), static_cast<Isa>(i));
  }
  m.def("isa_available", &cpu::isa_available);
  m.def("current_isa", &cpu::current_isa);
  m.def("set_isa", &cpu::set_isa);
}

}  // namespace

void bind_gemm(py::module_& m) {
  py::enum_<Activation>(m, "Activation")
      .value("none", Activation::kNone)
      .value("relu", Activation::kRelu)
      .value("gelu", Activation::kGelu)
      .value("gelu_tanh", Activation::kGeluTanh)
      .value("silu", Activation::kSilu);
  py::class_<VectorOperand>(m, "VectorOperand").def(py::init(&vector_operand));
  py::class_<DenseOperand>(m, "DenseOperand").def(py::init(&dense_operand));
  py::class_<Epilogue>(m, "Epilogue")
      .def(py::init<>())
      .def_readwrite("alpha", &Epilogue::alpha)
      .def_readwrite("beta", &Epilogue::beta)
      .def_readwrite("activation", &Epilogue::activation)
      .def_readwrite("scale_m", &Epilogue::scale_m)
      .def_readwrite("scale_n", &Epilogue::scale_n)
      .def_readwrite("bias", &Epilogue::bias)
      .def_readwrite("c", &Epilogue::c)
      .def_readwrite("gate", &Epilogue::gate);
  bind_isa(m);
  bind_plan(m);
  m.def("gemm", &gemm);
}

}  // namespace sparse_gemm::bindings
