// A Status as a Python exception: the one place where this side throws.
#pragma once

#include <pybind11/pybind11.h>

#include "core/status.h"

namespace sparse_gemm::bindings {

inline void raise_if_error(const Status& status) {
  namespace py = pybind11;
  switch (status.code()) {
    case StatusCode::kOk:
      return;
    case StatusCode::kInvalidArgument:
      throw py::value_error(status.message());
    case StatusCode::kOutOfMemory:
      PyErr_SetString(PyExc_MemoryError, status.message().c_str());
      throw py::error_already_set();
    case StatusCode::kDevice:
      PyErr_SetString(PyExc_RuntimeError, status.message().c_str());
      throw py::error_already_set();
    case StatusCode::kUnsupported:
      const py::object type = py::module_::import("sparse_gemm.errors").attr("UnsupportedError");
      PyErr_SetString(type.ptr(), status.message().c_str());
      throw py::error_already_set();
  }
}

}  // namespace sparse_gemm::bindings
