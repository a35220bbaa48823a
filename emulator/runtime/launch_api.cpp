// Launches: checked as the driver would, run to their end, counted.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "execute/launch.h"
#include "report/counters.h"
#include "report/findings.h"
#include "report/location.h"
#include "runtime/state.h"

namespace emulator {
namespace {

constexpr uint32_t kMaxThreads = 1024;
constexpr uint32_t kMaxBlockZ = 64;
constexpr uint32_t kMaxGridYZ = 65535;

Dim3 extent(const dim3& d) {
  return {d.x, d.y, d.z};
}

cudaError_t check_extents(const Program& program, const LaunchArguments& a) {
  const Dim3 grid = extent(a.grid), block = extent(a.block);
  if (grid.count() == 0 || block.count() == 0) return cudaErrorInvalidConfiguration;
  if (block.x > kMaxThreads || block.y > kMaxThreads || block.z > kMaxBlockZ ||
      block.count() > kMaxThreads || grid.x > 0x7FFFFFFFu || grid.y > kMaxGridYZ ||
      grid.z > kMaxGridYZ) {
    return cudaErrorInvalidConfiguration;
  }
  const int (&limit)[3] = program.kernel->max_threads;
  if (limit[0] == 0) return cudaSuccess;
  const uint64_t most =
      uint64_t(limit[0]) * uint64_t(std::max(limit[1], 1)) * uint64_t(std::max(limit[2], 1));
  return block.count() > most ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t check_shared(const Program& program, const Kernel& kernel, const Device& device,
                         size_t dynamic) {
  const int64_t most = kernel.dynamic_shared_limit >= 0
                           ? kernel.dynamic_shared_limit
                           : kSharedPerBlock - program.declared_shared_bytes;
  const int64_t bytes = static_cast<int64_t>(dynamic);
  return bytes > most || bytes + program.declared_shared_bytes > device.model.shared_per_block_optin
             ? cudaErrorInvalidValue
             : cudaSuccess;
}

std::vector<std::byte> pack_parameters(const Program& program, void** parameters) {
  std::vector<std::byte> packed(static_cast<size_t>(program.parameter_bytes));
  for (size_t i = 0; i < program.parameters.size(); ++i) {
    const Placement& p = program.parameters[i];
    std::memcpy(packed.data() + p.address, parameters[i], static_cast<size_t>(p.variable->bytes));
  }
  return packed;
}

cudaError_t run_program(const Program& program, const Kernel& kernel, Device& device,
                        const LaunchArguments& a) {
  Launch launch;
  launch.program = &program;
  launch.memory = &device.memory;
  launch.grid = extent(a.grid);
  launch.block = extent(a.block);
  launch.dynamic_shared_bytes = static_cast<int64_t>(a.dynamic_shared);
  launch.parameters = pack_parameters(program, a.parameters);
  launch.compute_capability = device.model.compute_capability();
  launch.grid_id = ++runtime().num_launches;
  const int registers = runtime().registers.registers(launch.compute_capability, kernel.name);
  launch.settings = {
      .seed = runtime().seed,
      .num_sms = device.model.num_sms,
      .ctas_per_sm =
          std::max(1, resident_ctas(device.model.occupancy_limits(),
                                    static_cast<int>(launch.block.count()), registers,
                                    program.declared_shared_bytes + launch.dynamic_shared_bytes))};
  LaunchCounters counters;
  counters.kernel = kernel.name;
  counters.program = &program;
  std::memcpy(counters.grid, &launch.grid, sizeof counters.grid);
  std::memcpy(counters.block, &launch.block, sizeof counters.block);
  counters.shared_bytes = program.declared_shared_bytes + launch.dynamic_shared_bytes;
  counters.registers = registers;
  counters.ctas_per_sm = launch.settings.ctas_per_sm;
  const auto start = std::chrono::steady_clock::now();
  Failure failure;
  const bool finished = run(launch, &counters, &failure);
  counters.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  record(std::move(counters));
  if (!finished) {
    set_sticky_error(failure == Failure::kAssert ? cudaErrorAssert : cudaErrorLaunchFailure);
  }
  return cudaSuccess;  // as on hardware, the next call says that the kernel failed
}

// An instruction that the emulator does not know, at its source line.
void report_unknown(const ptx::Module& module, const UnknownInstruction& error) {
  Op op;
  op.source = error.instruction;
  op.function = error.function;
  const FindingSite site{.warp = nullptr, .op = &op, .lanes = 0, .module = &module};
  report(FindingKind::kUnknownInstruction, site, std::nullopt, error.what());
}

}  // namespace

cudaError_t launch(Kernel& kernel, const LaunchArguments& arguments) {
  Runtime& state = runtime();
  Device& device = current_device();
  try {
    LoadedModule& module = state.load(*kernel.binary, device.index);
    try {
      const Program& program = module.program(kernel.name);
      if (const cudaError_t e = check_extents(program, arguments); e != cudaSuccess) return e;
      if (const cudaError_t e = check_shared(program, kernel, device, arguments.dynamic_shared);
          e != cudaSuccess) {
        return e;
      }
      return run_program(program, kernel, device, arguments);
    } catch (const UnknownInstruction& error) {
      report_unknown(module.module(), error);
      return cudaErrorInvalidKernelImage;
    }
  } catch (const std::exception& error) {
    report(FindingKind::kInvalidArgument, {}, std::nullopt,
           readable_name(kernel.name) + " cannot be run: " + error.what());
    return cudaErrorNoKernelImageForDevice;
  }
}

}  // namespace emulator

using emulator::finish;
using emulator::runtime;

extern "C" {

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** parameters,
                             size_t shared, cudaStream_t) {
  if (runtime().devices.empty()) return finish(cudaErrorNoDevice);
  const std::lock_guard lock(runtime().mutex);
  if (emulator::sticky_error() != cudaSuccess) return finish(cudaSuccess);
  if (std::getenv("EMULATOR_SKIP_KERNELS") != nullptr) return cudaSuccess;
  emulator::Kernel* kernel = runtime().find_kernel(function);
  if (kernel == nullptr) return finish(cudaErrorInvalidDeviceFunction);
  const cudaError_t error = emulator::launch(*kernel, {grid, block, shared, parameters});
  if (error != cudaSuccess) return finish(error);
  return cudaSuccess;  // a kernel's own failure shows at the next call
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function,
                                void** parameters) {
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == cudaLaunchAttributeClusterDimension) {
      const auto& cluster = attribute.val.clusterDim;
      if (cluster.x * cluster.y * cluster.z != 1) return finish(cudaErrorInvalidClusterSize);
    }
    if (attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative != 0) {
      return finish(cudaErrorNotSupported);
    }
  }
  return cudaLaunchKernel(function, config->gridDim, config->blockDim, parameters,
                          config->dynamicSmemBytes, config->stream);
}

}  // extern "C"
