// Bindings of the spine: pointers, extents and strides in; a Status becomes an exception.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "bindings/bindings.h"
#include "bindings/gemm_arguments.h"
#include "bindings/status.h"
#include "core/kernel_config.h"
#include "core/parallel.h"
#include "cpu/cpu_props.h"
#include "gemm.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

CpuProps cpu_props(int num_threads) {
  return {cpu::current_isa(), num_threads};
}

constexpr int64_t kMaxThreads = 1 << 16;  // more than any machine has

void gemm(PyObject* const* arguments, Py_ssize_t count) {
  const GemmCall<1> call(arguments, count);
  const int64_t num_threads = std::clamp<int64_t>(call.place(0), 1, kMaxThreads);
  Status status = Status::ok();
  {
    py::gil_scoped_release release;
    status = run_gemm(call.problem, cpu_props(static_cast<int>(num_threads)));
  }
  raise_if_error(status);
}

PyMethodDef gemm_method = fastcall_method<gemm>(
    "gemm", "Computes D = epilogue(A @ B); see bindings/gemm_arguments.h for the arguments.");

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

void bind_threads(py::module_& m) {
  py::enum_<ThreadSource>(m, "ThreadSource")
      .value("pool", ThreadSource::kPool)
      .value("openmp", ThreadSource::kOpenMP);
  m.def("use_openmp_threads", &use_openmp_threads);
  m.def("thread_source", &thread_source);
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
  bind_threads(m);
  bind_plan(m);
  m.attr("gemm") = py::reinterpret_steal<py::object>(PyCFunction_New(&gemm_method, nullptr));
}

}  // namespace sparse_gemm::bindings
