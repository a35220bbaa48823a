// Loops whose speed under emulation is measured: ordinary instructions, and mma.sp. Usage: speed
// NAME
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr int kThreads = 128;
constexpr int kCtas = 8;

// What a kernel without tensor cores does all day: loads, shared memory, arithmetic, a barrier.
__global__ void ordinary(int n, const float* in, float* out) {
  __shared__ float tile[2][kThreads];
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int step = 0; step < n; ++step) {
    const float value = in[(step * kThreads + i) & 0xFFF];
    tile[step & 1][i] = value;
    __syncthreads();
    const float other = tile[step & 1][i ^ 33];
    sum = fmaf(value, other, sum);
    sum = sum > 1e6f ? sum * 0.5f : sum + static_cast<float>(step ^ i);
  }
  out[blockIdx.x * kThreads + i] = sum;
}

__global__ void multiply(int n, const float* in, float* out) {
  float d[4] = {0, 0, 0, 0};
  const auto seed = static_cast<uint32_t>(threadIdx.x) & 7;
  uint32_t a = 0x3C003C00u + seed, b = 0x40003C00u + seed;
  for (int step = 0; step < n; ++step) {
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
        "{%4,%5,%4,%5}, {%5,%4,%5,%4}, {%0,%1,%2,%3}, %6, 0x0;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a), "r"(b), "r"(0x4E9DC844u));
  }
  out[blockIdx.x * kThreads + threadIdx.x] = d[0] + d[1] + d[2] + d[3];
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kElems = 4096;
  float* memory = nullptr;
  if (argc != 2 || cudaMalloc(&memory, 2 * kElems * sizeof(float)) != cudaSuccess) return 2;
  cudaMemset(memory, 0, kElems * sizeof(float));
  const bool is_mma = std::strcmp(argv[1], "multiply") == 0;
  if (is_mma) {
    multiply<<<kCtas, kThreads>>>(20000, memory, memory + kElems);
  } else {
    ordinary<<<kCtas, kThreads>>>(20000, memory, memory + kElems);
  }
  return cudaDeviceSynchronize() == cudaSuccess ? 0 : 1;
}
