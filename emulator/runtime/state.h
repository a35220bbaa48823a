// What the stand-in runtime remembers: devices, modules, kernels, errors.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "execute/decoder.h"
#include "memory/global_memory.h"
#include "ptx/module.h"
#include "report/register_table.h"
#include "runtime/device_model.h"

namespace emulator {

// One emulated GPU with a memory of its own.
struct Device {
  int index;
  DeviceModel model;
  GlobalMemory memory;

  Device(int i, const DeviceModel& m) : index(i), model(m) {}
};

inline constexpr int kMaxDevices = 16;

// PTX of one fat binary, parsed for one device, its variables in that device's memory.
class LoadedModule : public SymbolTable {
 public:
  LoadedModule(const void* fat_binary, Device& device);
  uint64_t address_of(std::string_view variable) const override;
  // Decoded on first use. Throws UnknownInstruction, or std::runtime_error if there is no such
  // kernel.
  const Program& program(const std::string& kernel);
  const ptx::Module& module() const { return *module_; }

 private:
  void place_variables(Device& device);
  std::unique_ptr<ptx::Module> module_;
  std::map<std::string, uint64_t, std::less<>> variables_;
  std::map<std::string, std::unique_ptr<Program>> programs_;
};

// A fat binary as nvcc's start-up code registers it. Its handle is its address.
struct FatBinary {
  const void* data;
  std::map<int, std::unique_ptr<LoadedModule>> loaded;  // by device
};

struct Kernel {
  FatBinary* binary;
  std::string name;               // mangled
  int dynamic_shared_limit = -1;  // cudaFuncAttributeMaxDynamicSharedMemorySize; -1: never set
  int carveout = -1;
};

struct DeviceVariable {
  FatBinary* binary;
  std::string name;
  size_t bytes;
};

// The whole process' state. One lock for everything: calls are few, launches run inside one.
struct Runtime {
  Runtime();
  std::recursive_mutex mutex;
  std::vector<std::unique_ptr<Device>> devices;
  std::vector<std::unique_ptr<FatBinary>> binaries;
  std::unordered_map<const void*, std::unique_ptr<Kernel>> kernels;  // by host stub
  std::unordered_map<const void*, DeviceVariable> variables;         // by host address
  RegisterTable registers;
  uint64_t seed = 0;
  uint64_t num_launches = 0;
  std::string start_error;  // why there is no device

  LoadedModule& load(FatBinary& binary, int device);
  Kernel* find_kernel(const void* stub_or_handle);  // null if neither
  // The device whose memory holds an address, and the allocation; null if none does.
  Device* owner_of(const void* address, const Allocation** allocation);
};

Runtime& runtime();

// The calling thread's device, launch configurations and last error.
struct ThreadState {
  int device = 0;
  cudaError_t last_error = cudaSuccess;
};
ThreadState& thread_state();
Device& current_device();

// Remembers an error as cudaGetLastError gives it, and returns it.
cudaError_t finish(cudaError_t error);
// An error of a kernel: every later call returns it, as on hardware.
void set_sticky_error(cudaError_t error);
cudaError_t sticky_error();
void clear_sticky_error();

struct LaunchArguments {
  dim3 grid, block;
  size_t dynamic_shared;
  void** parameters;
};
cudaError_t launch(Kernel& kernel, const LaunchArguments& arguments);

}  // namespace emulator
