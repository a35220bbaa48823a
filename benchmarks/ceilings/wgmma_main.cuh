// The rate of wgmma and wgmma.sp on sm_90a: fp16 and fp8, A in shared memory and in registers, with
// and without bulk copies into shared memory at the same time. Prints a record a configuration.

#pragma once

#include "harness.h"
#include "wgmma_loop.cuh"

namespace ceilings {

constexpr size_t kSourceBytes = 16 << 20;  // well inside L2
constexpr size_t kPatternBytes = 1 << 20;  // of random data; the source repeats it

struct Context {
  Options options;
  int num_sms;
  DeviceArray<uint32_t> source;
};

inline std::vector<uint32_t> source_words(DataType type) {
  const std::vector<uint32_t> pattern = normal_words(type, kPatternBytes / sizeof(uint32_t), 1);
  std::vector<uint32_t> words;
  while (words.size() * sizeof(uint32_t) < kSourceBytes) {
    words.insert(words.end(), pattern.begin(), pattern.end());
  }
  return words;
}

constexpr const char* name_of(Fills fills) {
  return fills == Fills::kNone ? "none" : fills == Fills::kTile ? "tile" : "free";
}

// CTAs that run at the same time, one an SM; clusters may not fit into every SM.
template <class C>
int co_resident_ctas(int num_sms) {
  if (C::kCluster == 1) return num_sms;
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = C::kCluster;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = num_sms / C::kCluster * C::kCluster;
  config.blockDim = C::kThreads;
  config.dynamicSmemBytes = C::kSmemBytes;
  config.attrs = &cluster;
  config.numAttrs = 1;
  int num_clusters = 0;
  check(cudaOccupancyMaxActiveClusters(&num_clusters, wgmma_loop<C>, &config),
        "cudaOccupancyMaxActiveClusters");
  return std::min(num_clusters * C::kCluster, num_sms);
}

template <class C>
Record describe(const std::string& instruction, int num_sms) {
  Record record("wgmma");
  record.add_text("instruction", instruction);
  record.add_text("dtype", traits_of(C::kType).name);
  record.add("sparse", C::kSparse);
  record.add_text("a_from", C::kAInRegisters ? "registers" : "shared");
  record.add("tile_m", C::kM * C::kWarpgroups);
  record.add("tile_n", C::kN);
  record.add_text("fills", name_of(C::kFills));
  record.add("cluster", C::kCluster);
  record.add("sms", num_sms);
  record.add("instructions_per_iteration", C::kWarpgroups * C::kSteps);
  record.add("dense_equiv_flops_per_instruction", 2.0 * C::kM * C::kN * C::kK);
  if (C::kFills == Fills::kTile) record.add("filled_bytes_per_iteration", C::kStageBytes);
  return record;
}

template <class C>
void measure_wgmma(const Context& context) {
  const std::string shape = "m64n" + std::to_string(C::kN) + "k" + std::to_string(C::kK);
  const std::string instruction = (C::kSparse ? "wgmma.sp." : "wgmma.") + shape;
  if (instruction.find(context.options.only) == std::string::npos) return;
  check(cudaFuncSetAttribute(wgmma_loop<C>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             C::kSmemBytes),
        "cudaFuncSetAttribute");
  const int num_sms = co_resident_ctas<C>(context.num_sms);
  const size_t num_words = C::kConsumerThreads * C::kSteps;
  const DeviceArray<uint32_t> fragments(normal_words(C::kType, num_words * 4, 2));
  const DeviceArray<uint32_t> metadata(legal_metadata(C::kType, num_words, 3));
  const DeviceArray<float> sink(static_cast<size_t>(num_sms) * C::kConsumerThreads);
  const DeviceArray<long long> cycles(num_sms), filled_bytes(num_sms);
  WgmmaParams params{reinterpret_cast<const uint8_t*>(context.source.data()),
                     kSourceBytes,
                     fragments.data(),
                     metadata.data(),
                     0,
                     sink.data(),
                     cycles.data(),
                     filled_bytes.data()};
  Record record = describe<C>(instruction, num_sms);
  measure(
      context.options, record,
      [&](int iterations) {
        params.iterations = iterations;
        wgmma_loop<C><<<num_sms, C::kThreads, C::kSmemBytes>>>(params);
      },
      &cycles);
  if (C::kFills == Fills::kFree) record.add("filled_bytes", median(filled_bytes.to_host()));
  record.print();
}

template <DataType kType, bool kSparse, bool kAInRegisters, int kN>
void measure_fills(const Context& context) {
  measure_wgmma<WgmmaConfig<kType, kSparse, kAInRegisters, kN, Fills::kNone>>(context);
  measure_wgmma<WgmmaConfig<kType, kSparse, kAInRegisters, kN, Fills::kFree>>(context);
  measure_wgmma<WgmmaConfig<kType, kSparse, kAInRegisters, kN, Fills::kTile>>(context);
  measure_wgmma<WgmmaConfig<kType, kSparse, kAInRegisters, kN, Fills::kTile, 2>>(context);
}

template <DataType kType, bool kSparse, bool kAInRegisters>
void measure_widths(const Context& context) {
  measure_fills<kType, kSparse, kAInRegisters, 128>(context);
  measure_fills<kType, kSparse, kAInRegisters, 192>(context);
  measure_fills<kType, kSparse, kAInRegisters, 256>(context);
}

// Taller tiles read B as often for each instruction, but fill it less often.
template <DataType kType, bool kAInRegisters>
void measure_tall(const Context& context) {
  measure_wgmma<WgmmaConfig<kType, true, kAInRegisters, 128, Fills::kTile, 2, 4>>(context);
  measure_wgmma<WgmmaConfig<kType, true, kAInRegisters, 192, Fills::kTile, 2, 3>>(context);
}

template <DataType kType>
int wgmma_main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  const Context context{options, device.multiProcessorCount,
                        DeviceArray<uint32_t>(source_words(kType))};
  measure_widths<kType, false, false>(context);
  measure_widths<kType, false, true>(context);
  measure_widths<kType, true, false>(context);
  measure_widths<kType, true, true>(context);
  measure_tall<kType, false>(context);
  measure_tall<kType, true>(context);
  return 0;
}

}  // namespace ceilings
