#include "runtime/device_model.h"

#include <cstdio>
#include <cstring>

namespace emulator {
namespace {

constexpr int kKiB = 1024;
constexpr uint64_t kGiB = uint64_t{1} << 30;

// Limits: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"; sizes and
// clocks: NVIDIA's data sheets of the boards. The RTX 5090 stands in for the devices beyond sm_89
// that run the same instructions: what is their own is not emulated.
constexpr DeviceModel kModels[] = {
    {"a100", "NVIDIA A100-SXM4-80GB (emulated)", 8, 0, 108, 80 * kGiB, 40 * kKiB * kKiB, 164 * kKiB,
     163 * kKiB, 2048, 32, 5120, 1'410'000, 1'593'000},
    {"rtx4090", "NVIDIA GeForce RTX 4090 (emulated)", 8, 9, 128, 24 * kGiB, 72 * kKiB * kKiB,
     100 * kKiB, 99 * kKiB, 1536, 24, 384, 2'520'000, 10'501'000},
    {"rtx5090", "NVIDIA GeForce RTX 5090 (emulated)", 12, 0, 170, 32 * kGiB, 96 * kKiB * kKiB,
     100 * kKiB, 99 * kKiB, 1536, 24, 512, 2'407'000, 14'001'000},
};

constexpr int kRegisters = 64 * kKiB;  // of an SM, and the most of a CTA
constexpr int kMaxThreadsPerBlock = 1024;
constexpr int kMaxGridX = 0x7FFFFFFF;
constexpr int kMaxGridYZ = 65535;
constexpr int kConstantBytes = 64 * kKiB;
constexpr int kTextureAlignment = 512;
constexpr int kPitchAlignment = 32;

struct AttributeRow {
  cudaDeviceAttr attribute;
  int (*value)(const DeviceModel& m, int index);
};

constexpr AttributeRow kAttributes[] = {
    {cudaDevAttrMaxThreadsPerBlock, [](const DeviceModel&, int) { return kMaxThreadsPerBlock; }},
    {cudaDevAttrMaxBlockDimX, [](const DeviceModel&, int) { return 1024; }},
    {cudaDevAttrMaxBlockDimY, [](const DeviceModel&, int) { return 1024; }},
    {cudaDevAttrMaxBlockDimZ, [](const DeviceModel&, int) { return 64; }},
    {cudaDevAttrMaxGridDimX, [](const DeviceModel&, int) { return kMaxGridX; }},
    {cudaDevAttrMaxGridDimY, [](const DeviceModel&, int) { return kMaxGridYZ; }},
    {cudaDevAttrMaxGridDimZ, [](const DeviceModel&, int) { return kMaxGridYZ; }},
    {cudaDevAttrMaxSharedMemoryPerBlock, [](const DeviceModel&, int) { return kSharedPerBlock; }},
    {cudaDevAttrTotalConstantMemory, [](const DeviceModel&, int) { return kConstantBytes; }},
    {cudaDevAttrWarpSize, [](const DeviceModel&, int) { return 32; }},
    {cudaDevAttrMaxPitch, [](const DeviceModel&, int) { return 0x7FFFFFFF; }},
    {cudaDevAttrMaxRegistersPerBlock, [](const DeviceModel&, int) { return kRegisters; }},
    {cudaDevAttrClockRate, [](const DeviceModel& m, int) { return m.sm_clock_khz; }},
    {cudaDevAttrTextureAlignment, [](const DeviceModel&, int) { return kTextureAlignment; }},
    {cudaDevAttrMultiProcessorCount, [](const DeviceModel& m, int) { return m.num_sms; }},
    {cudaDevAttrIntegrated, [](const DeviceModel&, int) { return 0; }},
    {cudaDevAttrCanMapHostMemory, [](const DeviceModel&, int) { return 1; }},
    {cudaDevAttrComputeMode, [](const DeviceModel&, int) { return 0; }},
    {cudaDevAttrConcurrentKernels, [](const DeviceModel&, int) { return 1; }},
    {cudaDevAttrEccEnabled, [](const DeviceModel&, int) { return 0; }},
    {cudaDevAttrPciBusId, [](const DeviceModel&, int index) { return index + 1; }},
    {cudaDevAttrPciDeviceId, [](const DeviceModel&, int) { return 0; }},
    {cudaDevAttrMemoryClockRate, [](const DeviceModel& m, int) { return m.memory_clock_khz; }},
    {cudaDevAttrGlobalMemoryBusWidth, [](const DeviceModel& m, int) { return m.memory_bus_bits; }},
    {cudaDevAttrL2CacheSize, [](const DeviceModel& m, int) { return m.l2_bytes; }},
    {cudaDevAttrMaxThreadsPerMultiProcessor,
     [](const DeviceModel& m, int) { return m.threads_per_sm; }},
    {cudaDevAttrUnifiedAddressing, [](const DeviceModel&, int) { return 1; }},
    {cudaDevAttrComputeCapabilityMajor, [](const DeviceModel& m, int) { return m.major; }},
    {cudaDevAttrComputeCapabilityMinor, [](const DeviceModel& m, int) { return m.minor; }},
    {cudaDevAttrStreamPrioritiesSupported, [](const DeviceModel&, int) { return 0; }},
    {cudaDevAttrMaxSharedMemoryPerMultiprocessor,
     [](const DeviceModel& m, int) { return m.shared_per_sm; }},
    {cudaDevAttrMaxRegistersPerMultiprocessor, [](const DeviceModel&, int) { return kRegisters; }},
    {cudaDevAttrManagedMemory, [](const DeviceModel&, int) { return 1; }},
    {cudaDevAttrPageableMemoryAccess, [](const DeviceModel&, int) { return 0; }},
    {cudaDevAttrConcurrentManagedAccess, [](const DeviceModel&, int) { return 1; }},
    {cudaDevAttrCanUseHostPointerForRegisteredMem, [](const DeviceModel&, int) { return 1; }},
    {cudaDevAttrCooperativeLaunch, [](const DeviceModel&, int) { return 0; }},
    {cudaDevAttrMaxSharedMemoryPerBlockOptin,
     [](const DeviceModel& m, int) { return m.shared_per_block_optin; }},
    {cudaDevAttrHostRegisterSupported, [](const DeviceModel&, int) { return 1; }},
    {cudaDevAttrMaxBlocksPerMultiprocessor,
     [](const DeviceModel& m, int) { return m.ctas_per_sm; }},
    {cudaDevAttrReservedSharedMemoryPerBlock,
     [](const DeviceModel&, int) { return kReservedShared; }},
    {cudaDevAttrMemoryPoolsSupported, [](const DeviceModel&, int) { return 0; }},
    {cudaDevAttrClusterLaunch, [](const DeviceModel&, int) { return 0; }},
};

}  // namespace

const DeviceModel* find_model(std::string_view key) {
  for (const DeviceModel& model : kModels) {
    if (model.key == key) return &model;
  }
  return nullptr;
}

std::string model_keys() {
  std::string keys;
  for (const DeviceModel& model : kModels)
    keys += (keys.empty() ? "" : ", ") + std::string(model.key);
  return keys;
}

cudaDeviceProp properties_of(const DeviceModel& model, int index) {
  cudaDeviceProp p{};
  std::snprintf(p.name, sizeof p.name, "%.*s", static_cast<int>(model.name.size()),
                model.name.data());
  p.uuid.bytes[0] = static_cast<char>(index + 1);
  p.totalGlobalMem = model.memory_bytes;
  p.sharedMemPerBlock = kSharedPerBlock;
  p.regsPerBlock = p.regsPerMultiprocessor = kRegisters;
  p.warpSize = 32;
  p.memPitch = 0x7FFFFFFF;
  p.maxThreadsPerBlock = kMaxThreadsPerBlock;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = kMaxGridX;
  p.maxGridSize[1] = p.maxGridSize[2] = kMaxGridYZ;
  p.totalConstMem = kConstantBytes;
  p.major = model.major;
  p.minor = model.minor;
  p.textureAlignment = kTextureAlignment;
  p.texturePitchAlignment = kPitchAlignment;
  p.multiProcessorCount = model.num_sms;
  p.canMapHostMemory = p.concurrentKernels = p.unifiedAddressing = 1;
  p.pciBusID = index + 1;
  p.memoryBusWidth = model.memory_bus_bits;
  p.l2CacheSize = model.l2_bytes;
  p.maxThreadsPerMultiProcessor = model.threads_per_sm;
  p.globalL1CacheSupported = p.localL1CacheSupported = 1;
  p.sharedMemPerMultiprocessor = static_cast<size_t>(model.shared_per_sm);
  p.managedMemory = p.concurrentManagedAccess = 1;
  p.canUseHostPointerForRegisteredMem = p.hostRegisterSupported = 1;
  p.sharedMemPerBlockOptin = static_cast<size_t>(model.shared_per_block_optin);
  p.maxBlocksPerMultiProcessor = model.ctas_per_sm;
  p.reservedSharedMemPerBlock = kReservedShared;
  return p;
}

bool attribute_of(const DeviceModel& model, cudaDeviceAttr attribute, int index, int* value) {
  for (const AttributeRow& row : kAttributes) {
    if (row.attribute != attribute) continue;
    *value = row.value(model, index);
    return true;
  }
  return false;
}

}  // namespace emulator
