// What CUDA this build has and what devices there are. No CUDA header: bindings and the spine
// include this in any build; without a CUDA compiler cuda/absent.cpp answers.
#pragma once

#include <cstdint>
#include <string>

#include "core/device_props.h"
#include "core/status.h"

namespace sparse_gemm::cuda {

struct BuildInfo {
  const char* compiler;       // "13.0.88"
  const char* architectures;  // "80-real,86-real,80-virtual"
  const char* runtime;        // "static" | "shared"
};

// Where a call runs. Nothing here waits for a stream.
struct Target {
  int device = 0;
  uintptr_t stream = 0;  // a cudaStream_t; 0 is the default stream
};

// Null in a build without CUDA.
const BuildInfo* build_info();

// 0 where there is no device, for whatever reason.
int device_count();

// Why device_count() is 0; empty if it is not.
std::string unavailable_reason();

// The properties of a device, asked once and then kept. `*props` stays valid.
Status device_props(int device, const CudaProps** props);

}  // namespace sparse_gemm::cuda
