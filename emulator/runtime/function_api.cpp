// Attributes of kernels, and how many CTAs of one fit on an SM.
#include <algorithm>
#include <exception>

#include "runtime/state.h"

using emulator::current_device;
using emulator::Device;
using emulator::finish;
using emulator::Kernel;
using emulator::runtime;

namespace {

constexpr int kMaxThreads = 1024;

const emulator::Program* program_of(Kernel& kernel) {
  try {
    return &runtime().load(*kernel.binary, current_device().index).program(kernel.name);
  } catch (const std::exception&) {
    return nullptr;  // the launch says why
  }
}

// Of a thread; 0 where no table from ptxas says.
int registers_of(const Kernel& kernel) {
  return runtime().registers.registers(current_device().model.compute_capability(), kernel.name);
}

int max_threads_of(const emulator::Program& program) {
  const int (&limit)[3] = program.kernel->max_threads;
  return limit[0] == 0 ? kMaxThreads : limit[0] * std::max(limit[1], 1) * std::max(limit[2], 1);
}

}  // namespace

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  const std::lock_guard lock(runtime().mutex);
  Kernel* kernel = runtime().find_kernel(function);
  if (kernel == nullptr) return finish(cudaErrorInvalidDeviceFunction);
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) {
    kernel->carveout = value;
  } else if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
    if (value < 0 || value > current_device().model.shared_per_block_optin) {
      return finish(cudaErrorInvalidValue);
    }
    kernel->dynamic_shared_limit = value;
  } else if (attribute != cudaFuncAttributeNonPortableClusterSizeAllowed) {
    return finish(cudaErrorInvalidValue);
  }
  return finish(cudaSuccess);
}

cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) {
  return finish(cudaSuccess);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  const std::lock_guard lock(runtime().mutex);
  Kernel* kernel = runtime().find_kernel(function);
  if (kernel == nullptr) return finish(cudaErrorInvalidDeviceFunction);
  const emulator::Program* program = program_of(*kernel);
  if (program == nullptr) return finish(cudaErrorNoKernelImageForDevice);
  *attributes = {};
  const Device& device = current_device();
  attributes->sharedSizeBytes = static_cast<size_t>(program->declared_shared_bytes);
  attributes->localSizeBytes = static_cast<size_t>(program->local_bytes);
  attributes->maxThreadsPerBlock = max_threads_of(*program);
  attributes->numRegs = registers_of(*kernel);
  attributes->ptxVersion = attributes->binaryVersion = device.model.compute_capability();
  attributes->maxDynamicSharedSizeBytes =
      kernel->dynamic_shared_limit >= 0
          ? kernel->dynamic_shared_limit
          : emulator::kSharedPerBlock - static_cast<int>(program->declared_shared_bytes);
  return finish(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* ctas, const void* function,
                                                                   int threads, size_t dynamic,
                                                                   unsigned) {
  const std::lock_guard lock(runtime().mutex);
  Kernel* kernel = runtime().find_kernel(function);
  if (kernel == nullptr) return finish(cudaErrorInvalidDeviceFunction);
  const emulator::Program* program = program_of(*kernel);
  if (program == nullptr) return finish(cudaErrorNoKernelImageForDevice);
  const emulator::DeviceModel& model = current_device().model;
  *ctas = emulator::resident_ctas(model.occupancy_limits(), threads, registers_of(*kernel),
                                  program->declared_shared_bytes + static_cast<int64_t>(dynamic));
  return finish(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* ctas, const void* function,
                                                          int threads, size_t dynamic) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(ctas, function, threads, dynamic,
                                                                0);
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void*, const cudaLaunchConfig_t*) {
  *clusters = 0;
  return finish(cudaErrorNotSupported);  // no device here has clusters
}

}  // extern "C"
