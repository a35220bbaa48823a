// The arguments of `gemm` and `cuda_gemm`.
//
// They are the calls whose overhead users feel, so they take CPython's vectorcall arguments as they
// come: pybind11's own conversion of so many arguments costs several times what a small layer
// takes. All are ints (a pointer or an enum is its number) but the last: an Epilogue or None, which
// replaces bias, activation and scales where there is more to say, and for `cuda_gemm` a callable
// after it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <type_traits>

#include "core/problem.h"

namespace sparse_gemm::bindings {

// Those that make a Problem. What follows says where to run, then comes the Epilogue. What belongs
// to A comes first: for a weight it is always the same.
enum GemmArgument : Py_ssize_t {
  kM,
  kK,
  kValues,
  kMetadata,
  kADType,
  kPattern,
  kGroupScales,
  kGroupScaleDType,
  kGroupSize,
  kAIsBatched,
  kN,
  kBatch,
  kB,
  kBDType,
  kBRowStride,
  kBColStride,
  kBBatchStride,
  kD,
  kDDType,
  kDRowStride,
  kDColStride,
  kDBatchStride,
  kBias,
  kBiasDType,
  kBiasStride,
  kActivation,
  kScaleM,
  kScaleMStride,
  kScaleN,
  kScaleNStride,
  kAccumulateInF16,
  kNumProblemArguments,
};

inline constexpr int64_t kMaxThreads = 1 << 16;  // more than any machine has

inline const void* pointer(int64_t address) {
  return reinterpret_cast<const void*>(address);
}
inline void* mutable_pointer(int64_t address) {
  return reinterpret_cast<void*>(address);
}
inline VectorOperand vector_operand(int64_t data, DType dtype, int64_t stride) {
  return {pointer(data), dtype, stride};
}
inline DenseOperand dense_operand(int64_t data, DType dtype, int64_t row_stride, int64_t col_stride,
                                  int64_t batch_stride) {
  return {mutable_pointer(data), dtype, row_stride, col_stride, batch_stride};
}

// A number from Python as an enum of `count` values.
template <typename Enum>
Enum enum_of(int64_t number, int count) {
  if (number < 0 || number >= count) {
    throw pybind11::value_error("a number names no value of its enum");
  }
  return static_cast<Enum>(number);
}

inline DType dtype_of(int64_t number) {
  return enum_of<DType>(number, kNumDTypes);
}

inline SparseOperand sparse_operand(const int64_t* ints) {
  SparseOperand a;
  a.values = pointer(ints[kValues]);
  a.metadata = static_cast<const uint8_t*>(pointer(ints[kMetadata]));
  a.dtype = dtype_of(ints[kADType]);
  a.pattern = enum_of<Pattern>(ints[kPattern], kNumPatterns);
  a.group_scales = pointer(ints[kGroupScales]);
  a.group_scale_dtype = dtype_of(ints[kGroupScaleDType]);
  a.group_size = static_cast<int>(ints[kGroupSize]);
  a.is_batched = ints[kAIsBatched] != 0;
  return a;
}

inline Problem problem_of(const int64_t* ints) {
  Problem problem;
  problem.m = ints[kM];
  problem.n = ints[kN];
  problem.k = ints[kK];
  problem.batch = ints[kBatch];
  problem.accumulate_in_f16 = ints[kAccumulateInF16] != 0;
  problem.a = sparse_operand(ints);
  problem.b = dense_operand(ints[kB], dtype_of(ints[kBDType]), ints[kBRowStride], ints[kBColStride],
                            ints[kBBatchStride]);
  problem.d = dense_operand(ints[kD], dtype_of(ints[kDDType]), ints[kDRowStride], ints[kDColStride],
                            ints[kDBatchStride]);
  problem.epilogue.bias =
      vector_operand(ints[kBias], dtype_of(ints[kBiasDType]), ints[kBiasStride]);
  problem.epilogue.activation = enum_of<Activation>(ints[kActivation], kNumActivations);
  problem.epilogue.scale_m = vector_operand(ints[kScaleM], DType::kFloat32, ints[kScaleMStride]);
  problem.epilogue.scale_n = vector_operand(ints[kScaleN], DType::kFloat32, ints[kScaleNStride]);
  return problem;
}

// A call's arguments, read. place(i) are the kNumPlace ints between the Problem's and the Epilogue;
// object(i) are the kNumObjects after it.
template <int kNumPlace, int kNumObjects = 0>
struct GemmCall {
  static constexpr Py_ssize_t kNumInts = kNumProblemArguments + kNumPlace;

  GemmCall(PyObject* const* arguments, Py_ssize_t count)
      : problem(problem_of(read_ints(arguments, count))), objects_(arguments + kNumInts + 1) {
    namespace py = pybind11;
    if (arguments[kNumInts] != Py_None) {
      problem.epilogue = py::cast<const Epilogue&>(py::handle(arguments[kNumInts]));
    }
  }
  int64_t place(int i) const { return ints[kNumProblemArguments + i]; }
  pybind11::handle object(int i) const { return objects_[i]; }

  int64_t ints[kNumInts];
  Problem problem;

 private:
  const int64_t* read_ints(PyObject* const* arguments, Py_ssize_t count) {
    namespace py = pybind11;
    constexpr Py_ssize_t kCount = kNumInts + 1 + kNumObjects;
    if (count != kCount) {
      throw py::type_error("gemm takes " + std::to_string(kCount) + " arguments");
    }
    for (Py_ssize_t i = 0; i < kNumInts; ++i) {
      ints[i] = PyLong_AsLongLong(arguments[i]);
      if (ints[i] == -1 && PyErr_Occurred()) throw py::error_already_set();
    }
    return ints;
  }

  PyObject* const* objects_;
};

// `kFunction` as CPython calls it with METH_FASTCALL: it returns an object or nothing.
template <auto kFunction>
PyObject* vectorcall(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  namespace py = pybind11;
  try {
    if constexpr (!std::is_void_v<decltype(kFunction(arguments, count))>) {
      return kFunction(arguments, count).release().ptr();
    } else {
      kFunction(arguments, count);
    }
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

template <auto kFunction>
PyMethodDef fastcall_method(const char* name, const char* doc) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&vectorcall<kFunction>)),
          METH_FASTCALL, doc};
}

}  // namespace sparse_gemm::bindings
