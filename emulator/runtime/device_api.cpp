// Devices: how many, what they are, which one is current.
#include <cstring>

#include "runtime/state.h"

using emulator::Device;
using emulator::finish;
using emulator::runtime;
using emulator::thread_state;

namespace {

constexpr int kCudaVersion = 13000;

bool is_device(int index) {
  return index >= 0 && index < static_cast<int>(runtime().devices.size());
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = static_cast<int>(runtime().devices.size());
  return *count == 0 ? finish(cudaErrorNoDevice) : cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = thread_state().device;
  return runtime().devices.empty() ? finish(cudaErrorNoDevice) : cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  thread_state().device = device;
  return finish(cudaSuccess);
}

cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  return finish(is_device(device) ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  *properties =
      emulator::properties_of(runtime().devices[static_cast<size_t>(device)]->model, device);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!is_device(device)) return finish(cudaErrorInvalidDevice);
  const Device& d = *runtime().devices[static_cast<size_t>(device)];
  return emulator::attribute_of(d.model, attribute, device, value) ? cudaSuccess
                                                                   : finish(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceSynchronize() {
  return finish(cudaSuccess);  // nothing is ever pending
}

cudaError_t cudaDeviceReset() {
  emulator::clear_sticky_error();
  thread_state().last_error = cudaSuccess;
  return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned) {
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceSetLimit(cudaLimit, size_t) {
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (!is_device(device) || !is_device(peer)) return finish(cudaErrorInvalidDevice);
  *can = 0;  // so that a kernel that reads another device's memory is found out
  return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) {
  return finish(cudaErrorPeerAccessUnsupported);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = kCudaVersion;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kCudaVersion;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (runtime().devices.empty()) return finish(cudaErrorNoDevice);
  const emulator::GlobalMemory& memory = emulator::current_device().memory;
  *total = memory.capacity();
  *free = memory.capacity() - memory.used_bytes();
  return finish(cudaSuccess);
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = thread_state().last_error;
  const cudaError_t sticky = emulator::sticky_error();
  thread_state().last_error = cudaSuccess;
  return sticky != cudaSuccess ? sticky : error;
}

cudaError_t cudaPeekAtLastError() {
  const cudaError_t sticky = emulator::sticky_error();
  return sticky != cudaSuccess ? sticky : thread_state().last_error;
}

}  // extern "C"
