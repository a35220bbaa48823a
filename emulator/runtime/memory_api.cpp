// Allocations and copies. Everything is done at once: streams order nothing that is not done
// already.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "report/findings.h"
#include "runtime/state.h"

using emulator::Allocation;
using emulator::current_device;
using emulator::Device;
using emulator::finish;
using emulator::runtime;

namespace {

// Memory named by a program: the host's own, or a range of an allocation.
struct Range {
  std::byte* data = nullptr;
  Device* device = nullptr;  // null: host memory that no device knows
  uint8_t* written = nullptr;
  uint64_t address = 0;
};

bool resolve(const void* pointer, size_t bytes, Range* range) {
  const Allocation* allocation = nullptr;
  range->device = runtime().owner_of(pointer, &allocation);
  range->address = reinterpret_cast<uint64_t>(pointer);
  if (range->device == nullptr) {
    range->data = static_cast<std::byte*>(const_cast<void*>(pointer));
    return true;
  }
  if (!allocation->contains(range->address, bytes)) return false;
  const uint64_t offset = range->address - allocation->address;
  range->data = allocation->data + offset;
  range->written = allocation->written == nullptr ? nullptr : allocation->written + offset;
  return true;
}

bool needs_device(cudaMemcpyKind kind, bool is_source) {
  if (kind == cudaMemcpyDeviceToDevice) return true;
  return kind == (is_source ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice);
}

// Keeps what was copied between host and device, where EMULATOR_COPIES names a folder: tests read
// what a program computed there, in the order of its copies.
void keep_copy(const Range& target, const Range& source, size_t bytes) {
  static const char* folder = std::getenv("EMULATOR_COPIES");
  static int count = 0;
  if (folder == nullptr || (target.device == nullptr) == (source.device == nullptr)) return;
  const std::string path = std::string(folder) + "/" + std::to_string(count++) +
                           (target.device != nullptr ? "-to-device" : "-to-host");
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(target.data), static_cast<std::streamsize>(bytes));
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return finish(cudaSuccess);
  const std::lock_guard lock(runtime().mutex);
  Range target, source;
  if (to == nullptr || from == nullptr || !resolve(to, bytes, &target) ||
      !resolve(from, bytes, &source)) {
    return finish(cudaErrorInvalidValue);
  }
  if ((needs_device(kind, false) && target.device == nullptr) ||
      (needs_device(kind, true) && source.device == nullptr)) {
    return finish(cudaErrorInvalidValue);
  }
  std::memmove(target.data, source.data, bytes);
  keep_copy(target, source, bytes);
  if (target.written != nullptr) {
    if (source.written != nullptr) {
      std::memmove(target.written, source.written, bytes);  // a copy of nothing is nothing
    } else {
      target.device->memory.mark_written(target.address, bytes);
    }
  }
  return finish(cudaSuccess);
}

cudaError_t fill(void* pointer, int value, size_t bytes) {
  if (bytes == 0) return finish(cudaSuccess);
  const std::lock_guard lock(runtime().mutex);
  Range range;
  if (!resolve(pointer, bytes, &range) || range.device == nullptr)
    return finish(cudaErrorInvalidValue);
  std::memset(range.data, value, bytes);
  range.device->memory.mark_written(range.address, bytes);
  return finish(cudaSuccess);
}

cudaError_t allocate(void** pointer, size_t bytes, Allocation::Kind kind) {
  if (runtime().devices.empty()) return finish(cudaErrorNoDevice);
  if (pointer == nullptr) return finish(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (bytes == 0) return finish(cudaSuccess);
  const std::lock_guard lock(runtime().mutex);
  const uint64_t address = current_device().memory.allocate(bytes, kind);
  if (address == 0) return finish(cudaErrorMemoryAllocation);
  *pointer = reinterpret_cast<void*>(address);
  return finish(cudaSuccess);
}

// Host memory that every device may use: ordinary memory, registered.
cudaError_t allocate_host(void** pointer, size_t bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, 4096, std::max<size_t>(bytes, 1)) != 0) {
    return finish(cudaErrorMemoryAllocation);
  }
  *pointer = data;
  return cudaHostRegister(data, bytes, cudaHostRegisterDefault);
}

// The address of a __device__ or __constant__ variable on the current device; 0 if there is none.
uint64_t address_of_symbol(const void* symbol) {
  const auto found = runtime().variables.find(symbol);
  if (found == runtime().variables.end()) return 0;
  try {
    emulator::LoadedModule& module =
        runtime().load(*found->second.binary, emulator::thread_state().device);
    return module.address_of(found->second.name);
  } catch (const std::exception& error) {
    emulator::report(emulator::FindingKind::kInvalidArgument, {}, std::nullopt,
                     found->second.name + " cannot be found: " + error.what());
    return 0;
  }
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return allocate(pointer, bytes, Allocation::Kind::kDevice);
}
cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t) {
  return allocate(pointer, bytes, Allocation::Kind::kDevice);
}
cudaError_t cudaMallocManaged(void** pointer, size_t bytes, unsigned) {
  return allocate_host(pointer, bytes);
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return allocate_host(pointer, bytes);
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return allocate_host(pointer, bytes);
}

cudaError_t cudaFree(void* pointer) {
  if (pointer == nullptr) return finish(cudaSuccess);
  const std::lock_guard lock(runtime().mutex);
  Device* device = runtime().owner_of(pointer, nullptr);
  if (device == nullptr) return finish(cudaErrorInvalidValue);
  if (device->memory.free(reinterpret_cast<uint64_t>(pointer))) return finish(cudaSuccess);
  return cudaFreeHost(pointer);  // managed
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) {
  return cudaFree(pointer);
}
cudaError_t cudaFreeHost(void* pointer) {
  if (pointer == nullptr) return finish(cudaSuccess);
  const cudaError_t error = cudaHostUnregister(pointer);
  if (error == cudaSuccess) std::free(pointer);
  return error;
}

cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned) {
  if (runtime().devices.empty()) return finish(cudaErrorNoDevice);
  const std::lock_guard lock(runtime().mutex);
  for (const auto& device : runtime().devices) {
    if (!device->memory.register_host(pointer, bytes)) {
      return finish(cudaErrorHostMemoryAlreadyRegistered);
    }
  }
  return finish(cudaSuccess);
}
cudaError_t cudaHostUnregister(void* pointer) {
  const std::lock_guard lock(runtime().mutex);
  bool known = false;
  for (const auto& device : runtime().devices) known |= device->memory.unregister_host(pointer);
  return finish(known ? cudaSuccess : cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaHostGetDevicePointer(void** device_pointer, void* pointer, unsigned) {
  *device_pointer = pointer;  // unified addressing
  return finish(cudaSuccess);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const std::lock_guard lock(runtime().mutex);
  *attributes = {};
  const Allocation* allocation = nullptr;
  const Device* device = runtime().owner_of(pointer, &allocation);
  attributes->type = cudaMemoryTypeUnregistered;
  attributes->device = device == nullptr ? -2 : device->index;  // cudaInvalidDeviceId
  attributes->hostPointer = const_cast<void*>(pointer);
  if (device == nullptr) return cudaSuccess;
  const bool on_host = allocation->kind == Allocation::Kind::kRegistered;
  attributes->type = on_host ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  attributes->devicePointer = const_cast<void*>(pointer);
  if (!on_host) attributes->hostPointer = nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return copy(to, from, bytes, kind);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  return copy(to, from, bytes, kind);
}
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t bytes) {
  return copy(to, from, bytes, cudaMemcpyDefault);
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                         size_t width, size_t height, cudaMemcpyKind kind) {
  for (size_t row = 0; row < height; ++row) {
    const cudaError_t error = copy(static_cast<char*>(to) + row * to_pitch,
                                   static_cast<const char*>(from) + row * from_pitch, width, kind);
    if (error != cudaSuccess) return error;
  }
  return finish(cudaSuccess);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpy2D(to, to_pitch, from, from_pitch, width, height, kind);
}

cudaError_t cudaMemset(void* pointer, int value, size_t bytes) {
  return fill(pointer, value, bytes);
}
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t) {
  return fill(pointer, value, bytes);
}

cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  const std::lock_guard lock(runtime().mutex);
  const uint64_t address = address_of_symbol(symbol);
  if (address == 0) return finish(cudaErrorInvalidSymbol);
  *pointer = reinterpret_cast<void*>(address);
  return finish(cudaSuccess);
}
cudaError_t cudaGetSymbolSize(size_t* bytes, const void* symbol) {
  const std::lock_guard lock(runtime().mutex);
  const auto found = runtime().variables.find(symbol);
  if (found == runtime().variables.end()) return finish(cudaErrorInvalidSymbol);
  *bytes = found->second.bytes;
  return finish(cudaSuccess);
}
cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset,
                               cudaMemcpyKind) {
  void* to = nullptr;
  if (const cudaError_t error = cudaGetSymbolAddress(&to, symbol); error != cudaSuccess)
    return error;
  return copy(static_cast<char*>(to) + offset, from, bytes, cudaMemcpyDefault);
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes,
                                    size_t offset, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpyToSymbol(symbol, from, bytes, offset, kind);
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset,
                                 cudaMemcpyKind) {
  void* from = nullptr;
  if (const cudaError_t error = cudaGetSymbolAddress(&from, symbol); error != cudaSuccess)
    return error;
  return copy(to, static_cast<const char*>(from) + offset, bytes, cudaMemcpyDefault);
}

}  // extern "C"
