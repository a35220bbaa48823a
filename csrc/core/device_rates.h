// DeviceRates: how fast a device does what the cost model counts. From what CUDA says of the device
// where it says it, else from a table by compute capability.
#pragma once

#include "core/device_props.h"
#include "core/multiply.h"

namespace sparse_gemm {

struct DeviceRates {
  double clocks_per_us;  // of the SMs
  double dram_bytes_per_us;
  double l2_bytes_per_clock;     // of an SM, all SMs at once
  double mma_clocks;             // between two mma.sp of one sub-core
  double dense_products_per_us;  // multiply-adds of the device's usual dense product of that type
};

DeviceRates rates_of(const CudaProps& props, Multiply multiply);

}  // namespace sparse_gemm
