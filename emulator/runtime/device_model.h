// The GPUs that the emulator can stand in for.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <string_view>

#include "report/register_table.h"

namespace emulator {

inline constexpr int kSharedPerBlock = 48 * 1024;  // bytes, without opting in to more
inline constexpr int kReservedShared = 1024;       // bytes of each CTA, for the driver

struct DeviceModel {
  std::string_view key;   // as in `--device a100`
  std::string_view name;  // ends in " (emulated)", by which programs know
  int major, minor;
  int num_sms;
  uint64_t memory_bytes;
  int l2_bytes;
  int shared_per_sm;
  int shared_per_block_optin;
  int threads_per_sm;
  int ctas_per_sm;
  int memory_bus_bits;
  int sm_clock_khz, memory_clock_khz;

  int compute_capability() const { return 10 * major + minor; }
  OccupancyLimits occupancy_limits() const {
    return {threads_per_sm, ctas_per_sm, shared_per_sm, kReservedShared};
  }
};

// The model called `key`; null if there is none.
const DeviceModel* find_model(std::string_view key);
std::string model_keys();  // "a100, rtx4090"

cudaDeviceProp properties_of(const DeviceModel& model, int index);
// False if the attribute is not one that the table knows.
bool attribute_of(const DeviceModel& model, cudaDeviceAttr attribute, int index, int* value);

}  // namespace emulator
