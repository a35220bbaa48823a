// What a plan needs to know of a device. Plain data: tests make them up.
#pragma once

#include <cstdint>
#include <string_view>

namespace sparse_gemm {

enum class Backend : uint8_t { kCpu };

// Instruction sets of the CPU backend, least capable first.
enum class Isa : uint8_t { kPortable, kAvx2, kAvx512 };

inline constexpr int kNumIsas = 3;
inline constexpr std::string_view kIsaNames[kNumIsas] = {"portable", "avx2", "avx512"};

constexpr std::string_view name_of(Isa isa) {
  return kIsaNames[static_cast<int>(isa)];
}

struct CpuProps {
  Isa isa = Isa::kPortable;
  int num_threads = 1;  // how many this call may use
};

}  // namespace sparse_gemm
