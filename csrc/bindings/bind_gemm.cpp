// Bindings of the spine: pointers, extents and strides in; a Status becomes an exception.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <string>

#include "bindings/bindings.h"
#include "core/kernel_config.h"
#include "core/parallel.h"
#include "cpu/cpu_props.h"
#include "gemm.h"

namespace py = pybind11;

namespace sparse_gemm::bindings {
namespace {

void raise_if_error(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return;
    case StatusCode::kInvalidArgument:
      throw py::value_error(status.message());
    case StatusCode::kOutOfMemory:
      PyErr_SetString(PyExc_MemoryError, status.message().c_str());
      throw py::error_already_set();
    case StatusCode::kUnsupported:
      const py::object type = py::module_::import("sparse_gemm.errors").attr("UnsupportedError");
      PyErr_SetString(type.ptr(), status.message().c_str());
      throw py::error_already_set();
  }
}

const void* pointer(int64_t address) {
  return reinterpret_cast<const void*>(address);
}
void* mutable_pointer(int64_t address) {
  return reinterpret_cast<void*>(address);
}

VectorOperand vector_operand(int64_t data, DType dtype, int64_t stride) {
  return {pointer(data), dtype, stride};
}
DenseOperand dense_operand(int64_t data, DType dtype, int64_t row_stride, int64_t col_stride) {
  return {mutable_pointer(data), dtype, row_stride, col_stride};
}

CpuProps cpu_props(int num_threads) {
  return {cpu::current_isa(), num_threads};
}

// `gemm` is the call whose overhead users feel, so it takes CPython's vectorcall arguments as they
// come: pybind11's own conversion of twenty arguments costs several times what a small layer takes.
// All are ints (a pointer or an enum is its number) but the last, an Epilogue or None, which
// replaces bias and activation where there is more to say.
enum GemmArgument : Py_ssize_t {
  kM,
  kN,
  kK,
  kValues,
  kMetadata,
  kAbDType,
  kPattern,
  kB,
  kBRowStride,
  kBColStride,
  kD,
  kDDType,
  kDRowStride,
  kDColStride,
  kBias,
  kBiasDType,
  kBiasStride,
  kActivation,
  kNumThreads,
  kEpilogue,
  kNumGemmArguments,
};

constexpr int64_t kMaxThreads = 1 << 16;  // more than any machine has

// A number from Python as an enum of `count` values.
template <typename Enum>
Enum enum_of(int64_t number, int count) {
  if (number < 0 || number >= count) throw py::value_error("a number names no value of its enum");
  return static_cast<Enum>(number);
}

Problem problem_of(const int64_t* ints) {
  Problem problem;
  problem.m = ints[kM];
  problem.n = ints[kN];
  problem.k = ints[kK];
  problem.a.values = pointer(ints[kValues]);
  problem.a.metadata = static_cast<const uint8_t*>(pointer(ints[kMetadata]));
  problem.a.dtype = enum_of<DType>(ints[kAbDType], kNumDTypes);
  problem.a.pattern = enum_of<Pattern>(ints[kPattern], kNumPatterns);
  problem.b = dense_operand(ints[kB], problem.a.dtype, ints[kBRowStride], ints[kBColStride]);
  problem.d = dense_operand(ints[kD], enum_of<DType>(ints[kDDType], kNumDTypes), ints[kDRowStride],
                            ints[kDColStride]);
  problem.epilogue.bias =
      vector_operand(ints[kBias], enum_of<DType>(ints[kBiasDType], kNumDTypes), ints[kBiasStride]);
  problem.epilogue.activation = enum_of<Activation>(ints[kActivation], kNumActivations);
  return problem;
}

void gemm(PyObject* const* arguments, Py_ssize_t count) {
  if (count != kNumGemmArguments) {
    throw py::type_error("gemm takes " + std::to_string(kNumGemmArguments) + " arguments");
  }
  int64_t ints[kEpilogue];
  for (Py_ssize_t i = 0; i < kEpilogue; ++i) {
    ints[i] = PyLong_AsLongLong(arguments[i]);
    if (ints[i] == -1 && PyErr_Occurred()) throw py::error_already_set();
  }
  Problem problem = problem_of(ints);
  if (arguments[kEpilogue] != Py_None) {
    problem.epilogue = py::cast<const Epilogue&>(py::handle(arguments[kEpilogue]));
  }
  Status status = Status::ok();
  {
    py::gil_scoped_release release;
    status = run_gemm(
        problem,
        cpu_props(static_cast<int>(std::clamp<int64_t>(ints[kNumThreads], 1, kMaxThreads))));
  }
  raise_if_error(status);
}

PyObject* gemm_vectorcall(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  try {
    gemm(arguments, count);
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  } catch (const py::builtin_exception& error) {
    error.set_error();
    return nullptr;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyMethodDef gemm_method = {
    "gemm", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&gemm_vectorcall)),
    METH_FASTCALL,
    "Computes D = epilogue(A @ B); see enum GemmArgument in bind_gemm.cpp for the arguments."};

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
