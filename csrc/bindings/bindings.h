// What each file of this room adds to the extension module.
#pragma once

#include <pybind11/pybind11.h>

namespace sparse_gemm::bindings {

void bind_cuda(pybind11::module_& m);
void bind_format(pybind11::module_& m);
void bind_gemm(pybind11::module_& m);
void bind_metadata_order(pybind11::module_& m);
void bind_plan(pybind11::module_& m);
void bind_torch(pybind11::module_& m);

}  // namespace sparse_gemm::bindings
