// For files that call the CUDA runtime: its errors as Status, and the current device as a scope.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "core/status.h"

namespace sparse_gemm::cuda {

// An error that is told here is not left behind for the runtime's next user to find.
inline Status cuda_status(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return Status::ok();
  (void)cudaGetLastError();
  const std::string message =
      std::string(what) + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  return error == cudaErrorMemoryAllocation ? Status::out_of_memory(message)
                                            : Status::device(message);
}

// Makes `device` the calling thread's current one until the end of the scope.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) : error_(cudaGetDevice(&previous_)) {
    if (error_ == cudaSuccess && previous_ != device) {
      error_ = cudaSetDevice(device);
      must_restore_ = error_ == cudaSuccess;
    }
  }
  ~DeviceGuard() {
    if (must_restore_) (void)cudaSetDevice(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

  bool is_ok() const { return error_ == cudaSuccess; }
  Status status() const { return cuda_status(error_, "choosing the device"); }

 private:
  int previous_ = 0;
  cudaError_t error_;
  bool must_restore_ = false;
};

}  // namespace sparse_gemm::cuda
