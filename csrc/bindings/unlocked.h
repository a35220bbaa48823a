// run_unlocked: calls what may wait without the interpreter's lock.
#pragma once

#include <pybind11/pybind11.h>

#include "bindings/status.h"

namespace sparse_gemm::bindings {

// `start` returns a Status. Where a stream's queue is full a launch waits, maybe for a callback
// that wants the lock.
template <typename Start>
void run_unlocked(const Start& start) {
  Status status = Status::ok();
  {
    pybind11::gil_scoped_release release;
    status = start();
  }
  raise_if_error(status);
}

}  // namespace sparse_gemm::bindings
