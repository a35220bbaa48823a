#include "cuda/runtime/runtime.h"

#include <cuda_runtime_api.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <string_view>

#include "cuda/runtime/cuda_status.h"

namespace sparse_gemm::cuda {
namespace {

constexpr std::string_view kEmulatedSuffix = " (emulated)";
constexpr int kMaxDevices = 64;  // more than any machine has

// 0 if CUDA does not say.
int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, which, device) == cudaSuccess) return value;
  (void)cudaGetLastError();
  return 0;
}

// Both edges of the memory's clock carry data.
int64_t memory_bytes_per_second(int device) {
  constexpr int64_t kHzPerKhz = 1000;
  constexpr int64_t kEdges = 2;
  constexpr int64_t kBitsPerByte = 8;
  return attribute(cudaDevAttrMemoryClockRate, device) * kHzPerKhz * kEdges *
         attribute(cudaDevAttrGlobalMemoryBusWidth, device) / kBitsPerByte;
}

Status query_props(int device, CudaProps* props) {
  cudaDeviceProp found;
  cudaError_t error = cudaGetDeviceProperties(&found, device);
  if (error == cudaSuccess) error = cudaDriverGetVersion(&props->driver_version);
  if (error == cudaSuccess) error = cudaRuntimeGetVersion(&props->runtime_version);
  if (error != cudaSuccess) return cuda_status(error, "asking for device properties");
  props->name = found.name;
  props->capability_major = found.major;
  props->capability_minor = found.minor;
  props->sm_count = found.multiProcessorCount;
  props->shared_memory_per_block = static_cast<int64_t>(found.sharedMemPerBlockOptin);
  props->shared_memory_per_sm = static_cast<int64_t>(found.sharedMemPerMultiprocessor);
  props->l2_bytes = found.l2CacheSize;
  props->memory_bytes = static_cast<int64_t>(found.totalGlobalMem);
  props->max_threads_per_sm = found.maxThreadsPerMultiProcessor;
  props->clock_khz = attribute(cudaDevAttrClockRate, device);
  props->memory_bytes_per_second = memory_bytes_per_second(device);
  props->emulated = props->name.ends_with(kEmulatedSuffix);
  return Status::ok();
}

}  // namespace

const BuildInfo* build_info() {
  static constexpr BuildInfo kInfo{SPARSE_GEMM_CUDA_COMPILER, SPARSE_GEMM_CUDA_ARCHITECTURES,
                                   SPARSE_GEMM_CUDA_RUNTIME};
  return &kInfo;
}

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string unavailable_reason() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return "";
  if (error == cudaSuccess || error == cudaErrorNoDevice) return "no CUDA device was found";
  return "no usable CUDA driver: " + std::string(cudaGetErrorString(error));
}

Status device_props(int device, const CudaProps** props) {
  struct Entry {
    std::atomic<bool> is_known = false;
    std::mutex mutex;
    CudaProps props;
  };
  static std::array<Entry, kMaxDevices> entries;
  const bool in_range = 0 <= device && device < kMaxDevices;
  Entry& entry = entries[in_range ? static_cast<size_t>(device) : 0];
  if (!in_range || !entry.is_known.load(std::memory_order_acquire)) {
    const int count = device_count();
    if (count == 0) return Status::unsupported(unavailable_reason());
    if (!in_range || device >= count) {
      return Status::invalid_argument("there is no CUDA device " + std::to_string(device) +
                                      "; expected 0 to " + std::to_string(count - 1));
    }
    const std::lock_guard lock(entry.mutex);
    if (!entry.is_known.load(std::memory_order_relaxed)) {
      if (Status status = query_props(device, &entry.props); !status.is_ok()) return status;
      entry.is_known.store(true, std::memory_order_release);
    }
  }
  *props = &entry.props;
  return Status::ok();
}

}  // namespace sparse_gemm::cuda
