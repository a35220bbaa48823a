// What nvcc's start-up code calls: fat binaries, kernels and variables are registered by name.
#include <cstdio>

#include "runtime/abi.h"
#include "runtime/state.h"

using emulator::FatBinary;
using emulator::Kernel;
using emulator::runtime;

namespace {

constexpr uint32_t kWrapperMagic = 0x466243b1;

struct FatBinaryWrapper {
  uint32_t magic;
  uint32_t version;
  const void* data;
  const void* file;
};

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

FatBinary* binary_of(void** handle) {
  return reinterpret_cast<FatBinary*>(handle);
}

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  const auto* image = static_cast<const FatBinaryWrapper*>(wrapper);
  if (image->magic != kWrapperMagic) {
    std::fprintf(stderr, "emulator: a fat binary has an unknown wrapper (0x%x)\n", image->magic);
    return nullptr;
  }
  const std::lock_guard lock(runtime().mutex);
  runtime().binaries.push_back(std::make_unique<FatBinary>(image->data));
  return reinterpret_cast<void**>(runtime().binaries.back().get());
}

void __cudaRegisterFatBinaryEnd(void**) {}

void __cudaUnregisterFatBinary(void** handle) {
  const std::lock_guard lock(runtime().mutex);
  const FatBinary* binary = binary_of(handle);
  std::erase_if(runtime().kernels,
                [&](const auto& entry) { return entry.second->binary == binary; });
  std::erase_if(runtime().variables,
                [&](const auto& entry) { return entry.second.binary == binary; });
  // The parsed module stays: counters still refer to it when they are written at exit.
}

void __cudaRegisterFunction(void** handle, const char* stub, char*, const char* name, int, uint3*,
                            uint3*, dim3*, dim3*, int*) {
  const std::lock_guard lock(runtime().mutex);
  runtime().kernels[stub] = std::make_unique<Kernel>(binary_of(handle), name);
}

void __cudaRegisterVar(void** handle, char* host, char*, const char* name, int, size_t bytes, int,
                       int) {
  const std::lock_guard lock(runtime().mutex);
  runtime().variables[host] = {binary_of(handle), name, bytes};
}

void __cudaRegisterManagedVar(void**, void**, char*, const char* name, int, size_t, int, int) {
  std::fprintf(stderr,
               "emulator: __managed__ variable '%s' is not supported: use cudaMallocManaged\n",
               name);
}

char __cudaInitModule(void**) {
  return 1;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configurations.empty()) return emulator::finish(cudaErrorMissingConfiguration);
  const Configuration& top = configurations.back();
  *grid = top.grid;
  *block = top.block;
  *shared = top.shared;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  configurations.pop_back();
  return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t* handle, const void* stub) {
  const std::lock_guard lock(runtime().mutex);
  Kernel* kernel = runtime().find_kernel(stub);
  if (kernel == nullptr) return emulator::finish(cudaErrorInvalidDeviceFunction);
  *handle = reinterpret_cast<cudaKernel_t>(kernel);
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t handle, dim3 grid, dim3 block, void** parameters,
                               size_t shared, cudaStream_t stream) {
  return cudaLaunchKernel(handle, grid, block, parameters, shared, stream);
}

cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t handle, dim3 grid, dim3 block, void** parameters,
                                    size_t shared, cudaStream_t stream) {
  return cudaLaunchKernel(handle, grid, block, parameters, shared, stream);
}

}  // extern "C"
