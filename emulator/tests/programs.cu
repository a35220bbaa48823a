// What programs ask of the runtime: devices, copies, symbols, events, errors. Usage: programs NAME
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

__device__ int scale = 3;
__constant__ float table[4] = {1, 2, 3, 4};

__global__ void scaled(int n, const float* in, float* out) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = in[i] * static_cast<float>(scale) + table[i % 4];
}

// A video instruction: no program of this kind has one, and the emulator does not know it.
__global__ void unknown(int* out) {
  unsigned value;
  asm volatile("vadd.u32.u32.u32.sat %0, %1, %1, %1;" : "=r"(value) : "r"(threadIdx.x));  // UNKNOWN
  out[threadIdx.x] = static_cast<int>(value);
}

__global__ void greet(int n) {
  if (threadIdx.x == 0) printf("block %d of %d: %5.2f %s\n", int(blockIdx.x), n, 1.5, "text");
}

#define EXPECT(condition)                                             \
  if (!(condition)) {                                                 \
    std::printf("line %d: %s does not hold\n", __LINE__, #condition); \
    std::exit(1);                                                     \
  }

void symbols() {
  constexpr int n = 1000;
  std::vector<float> in(n), out(n);
  for (int i = 0; i < n; ++i) in[i] = static_cast<float>(i);
  float *x = nullptr, *y = nullptr;
  EXPECT(cudaMalloc(&x, n * sizeof(float)) == cudaSuccess);
  EXPECT(cudaMalloc(&y, n * sizeof(float)) == cudaSuccess);
  EXPECT(cudaMemcpy(x, in.data(), n * sizeof(float), cudaMemcpyHostToDevice) == cudaSuccess);
  const int five = 5;
  EXPECT(cudaMemcpyToSymbol(scale, &five, sizeof five) == cudaSuccess);
  scaled<<<(n + 127) / 128, 128>>>(n, x, y);
  EXPECT(cudaMemcpy(out.data(), y, n * sizeof(float), cudaMemcpyDeviceToHost) == cudaSuccess);
  for (int i = 0; i < n; ++i) EXPECT(out[i] == 5.0f * in[i] + static_cast<float>(i % 4 + 1));
}

void properties() {
  cudaDeviceProp p;
  EXPECT(cudaGetDeviceProperties(&p, 0) == cudaSuccess);
  std::printf("%s|%d.%d|%d\n", p.name, p.major, p.minor, p.multiProcessorCount);
  int count = 0;
  EXPECT(cudaGetDeviceCount(&count) == cudaSuccess);
  std::printf("%d\n", count);
  EXPECT(cudaGetDeviceProperties(&p, count) == cudaErrorInvalidDevice);
}

void errors() {
  float* x = nullptr;
  EXPECT(cudaMalloc(&x, 16) == cudaSuccess);
  float host[8] = {};
  EXPECT(cudaMemcpy(x, host, 32, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  EXPECT(cudaGetLastError() == cudaErrorInvalidValue);
  EXPECT(cudaGetLastError() == cudaSuccess);
  scaled<<<1, 2048>>>(0, x, x);
  EXPECT(cudaGetLastError() == cudaErrorInvalidConfiguration);
  scaled<<<1, 32, 64 * 1024>>>(0, x, x);
  EXPECT(cudaGetLastError() == cudaErrorInvalidValue);
  EXPECT(cudaFree(host) == cudaErrorInvalidValue);
}

void own_memory_only() {
  float *first = nullptr, *second = nullptr;
  EXPECT(cudaMalloc(&first, 128) == cudaSuccess);
  EXPECT(cudaSetDevice(1) == cudaSuccess);
  EXPECT(cudaMalloc(&second, 128) == cudaSuccess);
  EXPECT(cudaMemset(first, 0, 128) == cudaSuccess);
  scaled<<<1, 32>>>(32, first, second);  // reads the other device's memory
}

void dereference() {
  float* x = nullptr;
  EXPECT(cudaMalloc(&x, 16) == cudaSuccess);
  *x = 1;  // the host cannot
}

void timing() {
  cudaStream_t stream;
  cudaEvent_t start, end;
  EXPECT(cudaStreamCreate(&stream) == cudaSuccess);
  EXPECT(cudaEventCreate(&start) == cudaSuccess && cudaEventCreate(&end) == cudaSuccess);
  EXPECT(cudaEventRecord(start, stream) == cudaSuccess);
  greet<<<2, 32, 0, stream>>>(2);
  EXPECT(cudaEventRecord(end, stream) == cudaSuccess);
  float ms = -1;
  EXPECT(cudaEventSynchronize(end) == cudaSuccess);
  EXPECT(cudaEventElapsedTime(&ms, start, end) == cudaSuccess && ms >= 0);
}

void unknown_instruction() {
  int* x = nullptr;
  EXPECT(cudaMalloc(&x, 128) == cudaSuccess);
  unknown<<<1, 32>>>(x);
  EXPECT(cudaGetLastError() != cudaSuccess);
}

void occupancy() {
  int ctas = 0;
  EXPECT(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&ctas, scaled, 256, 40 * 1024) ==
         cudaSuccess);
  std::printf("%d\n", ctas);
}

void status() {
  std::exit(7);
}

struct Case {
  const char* name;
  void (*run)();
};
const Case kCases[] = {{"symbols", symbols},
                       {"properties", properties},
                       {"errors", errors},
                       {"own_memory_only", own_memory_only},
                       {"dereference", dereference},
                       {"timing", timing},
                       {"unknown_instruction", unknown_instruction},
                       {"occupancy", occupancy},
                       {"status", status}};

}  // namespace

int main(int argc, char** argv) {
  for (const Case& c : kCases) {
    if (argc == 2 && std::strcmp(c.name, argv[1]) == 0) {
      c.run();
      return cudaDeviceSynchronize() == cudaSuccess ? 0 : 1;
    }
  }
  return 2;
}
