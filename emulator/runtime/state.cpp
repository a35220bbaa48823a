#include "runtime/state.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include "fatbin/fat_binary.h"
#include "report/counters.h"

namespace emulator {
namespace {

std::string setting(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

void make_devices(Runtime& state) {
  const DeviceModel* model = find_model(setting("EMULATOR_DEVICE", "a100"));
  if (model == nullptr) {
    state.start_error = "EMULATOR_DEVICE is '" + setting("EMULATOR_DEVICE", "") +
                        "'; expected one of " + model_keys();
    std::fprintf(stderr, "emulator: %s\n", state.start_error.c_str());
    return;
  }
  const int count = std::clamp(std::atoi(setting("EMULATOR_DEVICES", "1").c_str()), 1, kMaxDevices);
  for (int index = 0; index < count; ++index) {
    auto device = std::make_unique<Device>(index, *model);
    const int sms = std::atoi(setting("EMULATOR_SMS", "0").c_str());
    if (sms > 0) device->model.num_sms = sms;
    device->memory.set_capacity(device->model.memory_bytes);
    state.devices.push_back(std::move(device));
  }
}

// Counters are written when the process ends; the runner names the file.
void write_counters_at_exit() {
  const std::string path = setting("EMULATOR_COUNTERS", "");
  if (!path.empty()) write_counters(path);
  const std::string table = setting("EMULATOR_TABLE", "");
  if (!table.empty()) std::fputs(counters_table().c_str(), stderr);
  const std::string listing = setting("EMULATOR_LISTING", "");
  if (listing.empty()) return;
  if (std::FILE* file = std::fopen(listing.c_str(), "w")) {
    std::fputs(annotated_listing().c_str(), file);
    std::fclose(file);
  }
}

cudaError_t g_sticky_error = cudaSuccess;  // guarded by Runtime::mutex

}  // namespace

Runtime::Runtime() {
  seed = std::strtoull(setting("EMULATOR_SEED", "0").c_str(), nullptr, 0);
  make_devices(*this);
  std::istringstream paths(setting("EMULATOR_REGISTERS", ""));
  for (std::string path; std::getline(paths, path, ':');) registers.read(path);
  std::atexit(write_counters_at_exit);
}

Runtime& runtime() {
  // Never destroyed: programs call the runtime from static destructors.
  static Runtime* instance = new Runtime;
  return *instance;
}

ThreadState& thread_state() {
  static thread_local ThreadState state;
  return state;
}

Device& current_device() {
  return *runtime().devices[static_cast<size_t>(thread_state().device)];
}

cudaError_t finish(cudaError_t error) {
  if (error == cudaSuccess) error = sticky_error();
  if (error != cudaSuccess) thread_state().last_error = error;
  return error;
}

void set_sticky_error(cudaError_t error) {
  const std::lock_guard lock(runtime().mutex);
  if (g_sticky_error == cudaSuccess) g_sticky_error = error;
}

cudaError_t sticky_error() {
  const std::lock_guard lock(runtime().mutex);
  return g_sticky_error;
}

void clear_sticky_error() {
  const std::lock_guard lock(runtime().mutex);
  g_sticky_error = cudaSuccess;
}

LoadedModule::LoadedModule(const void* fat_binary, Device& device) {
  const std::vector<PtxImage> images = ptx_images(fat_binary);
  const PtxImage& image = best_for(images, device.model.compute_capability());
  try {
    module_ = ptx::parse(image.text, "ptx");
  } catch (const ptx::ParseError& error) {
    throw std::runtime_error("PTX line " + std::to_string(error.line) + ": " + error.message);
  }
  place_variables(device);
}

void LoadedModule::place_variables(Device& device) {
  for (const ptx::Variable& variable : module_->variables) {
    if (variable.is_extern && variable.bytes == 0) continue;  // dynamic shared memory
    if (variable.space == ptx::Space::kShared) continue;
    const uint64_t bytes = static_cast<uint64_t>(std::max<int64_t>(variable.bytes, 1));
    const uint64_t address =
        device.memory.allocate(bytes, Allocation::Kind::kVariable, variable.name);
    std::byte* data = device.memory.data(address, bytes);
    std::memset(data, 0, bytes);  // what PTX says of variables without an initialiser
    std::memcpy(data, variable.initial.data(), std::min(bytes, variable.initial.size()));
    device.memory.mark_written(address, bytes);
    variables_.emplace(variable.name, address);
  }
  for (const ptx::Variable& variable : module_->variables) {
    for (const ptx::Variable::Relocation& relocation : variable.relocations) {
      const uint64_t value =
          address_of(relocation.symbol) + static_cast<uint64_t>(relocation.addend);
      std::byte* slot = device.memory.data(
          variables_.at(variable.name) + static_cast<uint64_t>(relocation.offset), sizeof value);
      std::memcpy(slot, &value, sizeof value);
    }
  }
}

uint64_t LoadedModule::address_of(std::string_view variable) const {
  const auto found = variables_.find(variable);
  if (found == variables_.end()) {
    if (const uint64_t function = function_address(*module_, variable); function != 0) {
      return function;
    }
    throw std::runtime_error("PTX refers to '" + std::string(variable) +
                             "', which is no variable of its module");
  }
  return found->second;
}

const Program& LoadedModule::program(const std::string& kernel) {
  std::unique_ptr<Program>& program = programs_[kernel];
  if (program == nullptr) {
    const ptx::Function* function = module_->find(kernel);
    if (function == nullptr) throw std::runtime_error("PTX has no kernel '" + kernel + "'");
    program = decode(*module_, *function, *this);
  }
  return *program;
}

LoadedModule& Runtime::load(FatBinary& binary, int device) {
  std::unique_ptr<LoadedModule>& loaded = binary.loaded[device];
  if (loaded == nullptr) {
    loaded = std::make_unique<LoadedModule>(binary.data, *devices[static_cast<size_t>(device)]);
  }
  return *loaded;
}

Kernel* Runtime::find_kernel(const void* stub_or_handle) {
  if (const auto found = kernels.find(stub_or_handle); found != kernels.end()) {
    return found->second.get();
  }
  for (const auto& [stub, kernel] : kernels) {
    if (kernel.get() == stub_or_handle) return kernel.get();
  }
  return nullptr;
}

Device* Runtime::owner_of(const void* address, const Allocation** allocation) {
  for (const auto& device : devices) {
    const Allocation* found = device->memory.find(reinterpret_cast<uint64_t>(address));
    if (found == nullptr) continue;
    if (allocation != nullptr) *allocation = found;
    return device.get();
  }
  return nullptr;
}

}  // namespace emulator
