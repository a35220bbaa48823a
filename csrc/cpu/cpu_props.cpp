#include "cpu/cpu_props.h"

#include <atomic>

namespace sparse_gemm::cpu {
namespace {

Isa most_capable_isa() {
  for (int i = kNumIsas - 1; i > 0; --i) {
    if (isa_available(static_cast<Isa>(i))) return static_cast<Isa>(i);
  }
  return Isa::kPortable;
}

std::atomic<Isa>& chosen_isa() {
  static std::atomic<Isa> isa{most_capable_isa()};
  return isa;
}

std::atomic<bool>& intel_core_flag() {
#if SPARSE_GEMM_X86
  static std::atomic<bool> is_intel{__builtin_cpu_is("intel") != 0};
#else
  static std::atomic<bool> is_intel{false};
#endif
  return is_intel;
}

}  // namespace

bool isa_available(Isa isa) {
#if SPARSE_GEMM_X86
  switch (isa) {
    case Isa::kPortable:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case Isa::kAvx512:
      return isa_available(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq");
    case Isa::kAvx512Vnni:
      return isa_available(Isa::kAvx512) && __builtin_cpu_supports("avx512vbmi") &&
             __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vnni");
    case Isa::kAvx512Bf16:
      return isa_available(Isa::kAvx512Vnni) && __builtin_cpu_supports("avx512bf16");
  }
#endif
  return isa == Isa::kPortable;
}

Isa current_isa() {
  return chosen_isa().load(std::memory_order_relaxed);
}

bool set_isa(Isa isa) {
  if (!isa_available(isa)) return false;
  chosen_isa().store(isa, std::memory_order_relaxed);
  return true;
}

bool intel_core() {
  return intel_core_flag().load(std::memory_order_relaxed);
}

void set_intel_core(bool is_intel) {
  intel_core_flag().store(is_intel, std::memory_order_relaxed);
}

CpuProps current_props(int num_threads) {
  return {current_isa(), num_threads, intel_core()};
}

}  // namespace sparse_gemm::cpu
