// Entry points of the driver that programs ask for by name or link.
#include <cuda.h>

#include <cstring>

#include "runtime/state.h"

extern "C" {

CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == CUDA_SUCCESS ? "no error" : "error of the emulated driver";
  return CUDA_SUCCESS;
}

CUresult cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, CUstream) {
  const std::lock_guard lock(emulator::runtime().mutex);
  const uint64_t bytes = uint64_t{count} * sizeof value;
  const emulator::Device* device =
      emulator::runtime().owner_of(reinterpret_cast<void*>(target), nullptr);
  std::byte* data = device == nullptr ? nullptr : device->memory.data(target, bytes);
  if (data == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; ++i) std::memcpy(data + i * sizeof value, &value, sizeof value);
  const_cast<emulator::Device*>(device)->memory.mark_written(target, bytes);
  return CUDA_SUCCESS;
}

// Tensor maps begin with sm_90: no device here has them.
CUresult emulatorTensorMapEncodeTiled() {
  return CUDA_ERROR_NOT_SUPPORTED;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* status) {
  const bool known = std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
  *function = known ? reinterpret_cast<void*>(&emulatorTensorMapEncodeTiled) : nullptr;
  if (status != nullptr) {
    *status = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  }
  return emulator::finish(cudaSuccess);
}

}  // extern "C"
