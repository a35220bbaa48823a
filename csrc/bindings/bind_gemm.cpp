// Bindings of the spine: pointers, extents and strides in; a Status becomes an exception.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "bindings/bindings.h"
#include "bindings/gemm_arguments.h"
#include "bindings/tuned_choices.h"
#include "bindings/unlocked.h"
#include "core/parallel.h"
#include "cpu/cpu_props.h"
#include "gemm.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

void gemm(PyObject* const* arguments, Py_ssize_t count) {
  const GemmCall<1> call(arguments, count);
  const int64_t num_threads = std::clamp<int64_t>(call.place(0), 1, kMaxThreads);
  run_unlocked(
      [&] { return run_gemm(call.problem, cpu::current_props(static_cast<int>(num_threads))); });
}

PyMethodDef gemm_method = fastcall_method<gemm>(
    "gemm", "Computes D = epilogue(A @ B); see bindings/gemm_arguments.h for the arguments.");

// What `allocate(workspace_bytes, num_counters)` answers: two addresses, and what owns the memory.
// With that gone the memory may be another's, of which the stream keeps order as of any array.
struct PythonWorkspace {
  cuda::Workspace workspace;
  py::object owner;

  PythonWorkspace(const CudaPlan& plan, py::handle allocate) {
    if (plan.workspace_bytes == 0) return;
    const py::tuple made = allocate(plan.workspace_bytes, plan.num_counters);
    if (made.size() != 3) throw py::type_error("allocate returns (address, address, owner)");
    workspace.partials = mutable_pointer(made[0].cast<int64_t>());
    workspace.counters = static_cast<uint32_t*>(mutable_pointer(made[1].cast<int64_t>()));
    owner = made[2];
  }
};

void cuda_gemm(PyObject* const* arguments, Py_ssize_t count) {
  const GemmCall<2, 1> call(arguments, count);
  const cuda::Target target{static_cast<int>(call.place(0)), static_cast<uintptr_t>(call.place(1))};
  load_tuned_choices(target.device);
  CudaPlan plan;
  raise_if_error(plan_gemm(call.problem, target.device, &plan));
  const PythonWorkspace made(plan, call.object(0));
  run_unlocked([&] { return run_gemm(call.problem, plan, made.workspace, target); });
}

PyMethodDef cuda_gemm_method = fastcall_method<cuda_gemm>(
    "cuda_gemm",
    "Starts D = epilogue(A @ B) on a stream; see bindings/gemm_arguments.h for the arguments.");

uint64_t cuda_capture_id(int device, uintptr_t stream) {
  uint64_t id = 0;
  raise_if_error(cuda::capture_id({device, stream}, &id));
  return id;
}

void bind_isa(py::module_& m) {
  py::enum_<Isa> isa(m, "Isa");
  for (int i = 0; i < kNumIsas; ++i) {
    isa.value(std::string(kIsaNames[i]).c_str(), static_cast<Isa>(i));
  }
  m.def("isa_available", &cpu::isa_available);
  m.def("current_isa", &cpu::current_isa);
  m.def("set_isa", &cpu::set_isa);
  m.def("intel_core", &cpu::intel_core);
  m.def("set_intel_core", &cpu::set_intel_core);
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
  py::class_<DenseOperand>(m, "DenseOperand")
      .def(py::init(&dense_operand), py::arg("data"), py::arg("dtype"), py::arg("row_stride"),
           py::arg("col_stride"), py::arg("batch_stride") = 0);
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
  const auto function = [](PyMethodDef* method) {
    return py::reinterpret_steal<py::object>(PyCFunction_New(method, nullptr));
  };
  m.attr("gemm") = function(&gemm_method);
  m.attr("cuda_gemm") = function(&cuda_gemm_method);
  m.def("cuda_capture_id", &cuda_capture_id);
}

}  // namespace sparse_gemm::bindings
