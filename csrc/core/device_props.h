// What a plan needs to know of a device. Plain data: tests make them up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sparse_gemm {

// Instruction sets of the CPU backend, least capable first.
enum class Isa : uint8_t { kPortable, kAvx2, kAvx512, kAvx512Vnni, kAvx512Bf16 };

inline constexpr int kNumIsas = 5;
inline constexpr std::string_view kIsaNames[kNumIsas] = {"portable", "avx2", "avx512",
                                                         "avx512_vnni", "avx512_bf16"};

constexpr std::string_view name_of(Isa isa) {
  return kIsaNames[static_cast<int>(isa)];
}

constexpr Isa below(Isa isa) {
  return static_cast<Isa>(static_cast<int>(isa) - 1);
}

struct CpuProps {
  Isa isa = Isa::kPortable;
  int num_threads = 1;  // how many this call may use
  // Of Intel's: vdpbf16ps makes half as many products a cycle as FMAs do, and there is one port for
  // permutations, which those of two sources take twice (docs/kernels.md).
  bool intel_core = false;
};

// Sizes in bytes; versions as CUDA writes them (13000 is 13.0).
struct CudaProps {
  std::string name;
  int capability_major = 0;
  int capability_minor = 0;
  int sm_count = 0;
  int64_t shared_memory_per_block = 0;  // what a kernel may opt in to
  int64_t shared_memory_per_sm = 0;
  int64_t l2_bytes = 0;
  int64_t memory_bytes = 0;
  int max_threads_per_sm = 0;
  // What the cost model reckons with; 0 where CUDA does not say: core/device_rates.h knows
  // defaults.
  int64_t clock_khz = 0;
  int64_t memory_bytes_per_second = 0;
  int driver_version = 0;
  int runtime_version = 0;
  bool emulated = false;  // the emulator's devices say so in their names
};

constexpr int capability_of(const CudaProps& props) {
  return 10 * props.capability_major + props.capability_minor;
}

}  // namespace sparse_gemm
