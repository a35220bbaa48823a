#include "core/device_rates.h"

#include <string>

namespace sparse_gemm {
namespace {

// One row for each generation; a device is of the last one whose capability it has.
//
// mma.sp of all types takes the same bytes and, at a generation's full rate, the same clocks: they
// follow from NVIDIA's peak rates (docs/kernels.md). GeForce boards accumulate in float at half
// rate. From sm_90 on mma.sp is not the way to the peak: 45 % of it is reported for f16 on H100
// (arXiv 2402.13499), and the other types and sm_100 are taken to be alike.
//
// L2: half to two thirds of what the wires could carry, as microbenchmarks report.
struct Generation {
  int capability;
  double mma_clocks;
  double dense_clocks;  // of mma.sync or wgmma, for as many products as an mma.sp stands for
  double l2_bytes_per_clock;
  double clock_mhz;      // where CUDA does not say
  double dram_gb_per_s;  // likewise
};

constexpr Generation kGenerations[] = {
    {80, 8, 16, 40, 1410, 2039},    // A100 80 GB
    {86, 16, 32, 16, 1695, 936},    // RTX 3090
    {89, 16, 32, 16, 2520, 1008},   // RTX 4090
    {90, 9, 8, 28, 1755, 3352},     // H100 SXM; dense by wgmma
    {100, 9, 4, 28, 1850, 8000},    // B200; dense by tcgen05
    {120, 16, 32, 16, 2407, 1792},  // RTX 5090
};

// Of the dense product's peak, what libraries reach with random data at large shapes.
constexpr double kDenseEfficiency = 0.8;
constexpr double kSubCores = 4;

const Generation& generation_of(int capability) {
  const Generation* found = &kGenerations[0];
  for (const Generation& row : kGenerations) {
    if (row.capability <= capability) found = &row;
  }
  return *found;
}

// Of an mma.sp, kept or not; of 4-bit operands half, as their usual dense product is int8's.
double dense_products_of(const MultiplyTraits& traits, Multiply multiply) {
  constexpr double kOutputs = 16 * 8;
  const double step_k = static_cast<double>(traits.stage_k) / mmas_per_stage(traits);
  return kOutputs * step_k / (multiply == Multiply::kS4 ? 2 : 1);
}

}  // namespace

DeviceRates rates_of(const CudaProps& props, Multiply multiply) {
  const MultiplyTraits traits = traits_of(multiply);
  const Generation& generation = generation_of(capability_of(props));
  const bool half_rate =
      props.name.find("GeForce") != std::string::npos && traits.accumulator == DType::kFloat32;
  const double slowdown = half_rate ? 2 : 1;

  DeviceRates rates;
  rates.clocks_per_us =
      props.clock_khz > 0 ? static_cast<double>(props.clock_khz) / 1e3 : generation.clock_mhz;
  rates.dram_bytes_per_us = props.memory_bytes_per_second > 0
                                ? static_cast<double>(props.memory_bytes_per_second) / 1e6
                                : generation.dram_gb_per_s * 1e3;
  rates.l2_bytes_per_clock = generation.l2_bytes_per_clock;
  rates.mma_clocks = generation.mma_clocks * slowdown;
  rates.dense_products_per_us = dense_products_of(traits, multiply) /
                                (generation.dense_clocks * slowdown) * kSubCores * props.sm_count *
                                rates.clocks_per_us * kDenseEfficiency;
  return rates;
}

}  // namespace sparse_gemm
