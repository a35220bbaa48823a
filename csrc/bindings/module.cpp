// The extension sparse_gemm._C: what the rooms below offer, on integers and enums.
#include <pybind11/pybind11.h>

#include "bindings/bindings.h"

PYBIND11_MODULE(_C, m) {
  m.doc() = "C++ core of sparse_gemm: pointers, shapes and strides in; not a public interface.";
  m.attr("__version__") = SPARSE_GEMM_VERSION;
  sparse_gemm::bindings::bind_format(m);
  sparse_gemm::bindings::bind_metadata_order(m);
  sparse_gemm::bindings::bind_gemm(m);
  sparse_gemm::bindings::bind_cuda(m);
  sparse_gemm::bindings::bind_plan(m);
  sparse_gemm::bindings::bind_torch(m);
}
