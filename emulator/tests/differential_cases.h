// Functions of up to three numbers that a device and the host must agree on, each a CASE.
#pragma once

#include <cuda_fp16.h>

#include <iterator>
#include <vector>

#include "differential.h"

constexpr int kNumInputs = 3072;
constexpr int kNumShown = 3;  // differences printed of each case

struct Inputs {
  uint64_t a, b, c;
};

template <typename T>
struct Operands {
  T x, y, z;
  HD explicit Operands(const Inputs& in)
      : x(value_of<T>(in.a)), y(value_of<T>(in.b)), z(value_of<T>(in.c)) {}
};

// The bits of an fp16 or bf16 number, with one NaN for all.
template <typename H>
HD uint64_t half_bits(H value) {
  const float wide = float(value);
  if (wide != wide) return 0x7FFF;
  uint16_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

template <typename Case>
__global__ void on_device(const Inputs* in, uint64_t* out) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < kNumInputs) out[i] = bits_of(Case::on(in[i]));
}

// To the bit, or within the units in the last place that a case declares.
template <typename Case>
bool agree(uint64_t device, uint64_t host) {
  if constexpr (requires { Case::kUnits; }) {
    const uint64_t nan = bits_of(NAN);
    if (device == nan || host == nan) return device == host;
    // Bits count units, infinity being the one after the largest number.
    return std::fabs(double(int64_t(host - device))) <= Case::kUnits;
  }
  return device == host;
}

template <typename Case>
int check(const char* name, const std::vector<Inputs>& in) {
  Inputs* device_in;
  uint64_t* device_out;
  std::vector<uint64_t> out(kNumInputs);
  const size_t bytes = kNumInputs * sizeof(Inputs);
  cudaMalloc(&device_in, bytes);
  cudaMalloc(&device_out, kNumInputs * sizeof(uint64_t));
  cudaMemcpy(device_in, in.data(), bytes, cudaMemcpyHostToDevice);
  on_device<Case><<<kNumInputs / 128, 128>>>(device_in, device_out);
  const cudaError_t error =
      cudaMemcpy(out.data(), device_out, kNumInputs * sizeof(uint64_t), cudaMemcpyDeviceToHost);
  cudaFree(device_in);
  cudaFree(device_out);
  if (error != cudaSuccess) {
    std::printf("%s: %s\n", name, cudaGetErrorString(error));
    return 1;
  }
  int differences = 0;
  for (int i = 0; i < kNumInputs; ++i) {
    const uint64_t host = bits_of(Case::on(in[i]));
    if (agree<Case>(out[i], host) || ++differences > kNumShown) continue;
    std::printf("%s(%016llx, %016llx, %016llx): device %016llx, host %016llx\n", name,
                (unsigned long long)(in[i].a), (unsigned long long)(in[i].b),
                (unsigned long long)(in[i].c), (unsigned long long)(out[i]),
                (unsigned long long)(host));
  }
  if (differences > kNumShown) std::printf("%s: %d differences\n", name, differences);
  return differences;
}

struct RegisteredCase {
  const char* name;
  int (*check)(const char* name, const std::vector<Inputs>& in);
};
inline std::vector<RegisteredCase>& cases() {
  static std::vector<RegisteredCase> all;
  return all;
}
inline bool add_case(const char* name, int (*check)(const char*, const std::vector<Inputs>&)) {
  cases().push_back({name, check});
  return true;
}

// A case: its name, and the body of a function of `in`.
#define CASE(Name, ...)                                 \
  struct Name {                                         \
    HD static auto on(const Inputs& in) { __VA_ARGS__ } \
  };                                                    \
  const bool registered_##Name = add_case(#Name, check<Name>);

// clang-format off
const uint64_t kSpecialNumbers[] = {  // of every format: zero, infinity, NaN, limits of range
    0, 1, ~0ull, 0x7FC0, 0x7C00, 0xFC00, 0x3C00, 0x03FF, 0x8001, 0x8000, 0x7F80, 0xFF80, 0x3F80,
    0x7F800000, 0xFF800000, 0x7FC00000, 0x80000000, 0x007FFFFF, 0x3F800001, 0x4F000000, 0xCF000000,
    0x5F000000, 0x7F7FFFFF, 0x477FF000, 0x33000000, 0x33000001, 0x38800000, 0x387FE000,
    0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x8000000000000000,
    0x000FFFFFFFFFFFFF, 0x41E0000000000000, 0xC1E0000000000000, 0x43E0000000000000,
    0x7FEFFFFFFFFFFFFF,
};
// clang-format on

// Special numbers, numbers near 1, and any bits.
inline uint64_t draw(uint64_t& state) {
  const auto next = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state ^ (state >> 31);
  };
  const uint64_t any = next();
  switch ((next() >> 20) % 8) {
    case 0:
      return kSpecialNumbers[any % std::size(kSpecialNumbers)];
    case 1:
      return bits_of(double(int64_t(any)) * 0x1p-60);
    case 2:
      return bits_of(float(int64_t(any)) * 0x1p-60f);
    case 3:
      return bits_of(float(int64_t(any)) * 0x1p-40f);
    case 4:
      return half_bits(__float2half_rn(float(int64_t(any)) * 0x1p-55f));
    case 5:
      return any >> (next() >> 40) % 64;
    default:
      return any;
  }
}

// Checks all cases; the status of the program.
inline int run_cases() {
  std::vector<Inputs> in(kNumInputs);
  uint64_t state = 3;
  for (Inputs& i : in) i = {draw(state), draw(state), draw(state)};
  int differences = 0;
  for (const RegisteredCase& c : cases()) differences += c.check(c.name, in);
  return differences == 0 ? 0 : 1;
}
