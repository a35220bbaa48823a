// Bandwidth: copying and reading device memory, and reading what lies in L2.
//
// A record a case; `bytes_per_iteration` counts bytes read plus bytes written.

#include "harness.h"

namespace ceilings {
namespace {

constexpr int kThreads = 512;
constexpr int kCtasPerSm = 4;
constexpr int kLoads = 4;               // of 16 bytes in flight in a thread
constexpr int64_t kL2Bytes = 16 << 20;  // fits into the L2 of every data-centre GPU since sm_80

// Calls use(idx, words) for each kLoads words, a grid's stride apart.
template <class Use>
__device__ void for_each(const uint4* source, int64_t num_words, Use use) {
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t idx = int64_t{blockIdx.x} * kThreads + threadIdx.x;
       idx + (kLoads - 1) * stride < num_words; idx += kLoads * stride) {
    uint4 words[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) words[i] = __ldcg(source + idx + i * stride);
    use(idx, stride, words);
  }
}

__global__ void __launch_bounds__(kThreads)
    copy_words(const uint4* source, uint4* destination, int64_t num_words, int iterations) {
  for (int iteration = 0; iteration < iterations; ++iteration) {
    for_each(source, num_words, [&](int64_t idx, int64_t stride, const uint4(&words)[kLoads]) {
#pragma unroll
      for (int i = 0; i < kLoads; ++i) destination[idx + i * stride] = words[i];
    });
  }
}

__global__ void __launch_bounds__(kThreads)
    read_words(const uint4* source, uint32_t* sink, int64_t num_words, int iterations) {
  uint32_t folded = 0;
  for (int iteration = 0; iteration < iterations; ++iteration) {
    for_each(source, num_words, [&](int64_t, int64_t, const uint4(&words)[kLoads]) {
#pragma unroll
      for (int i = 0; i < kLoads; ++i) folded ^= words[i].x ^ words[i].y ^ words[i].z ^ words[i].w;
    });
  }
  sink[blockIdx.x * kThreads + threadIdx.x] = folded;
}

// The largest whole number of the grid's steps that fits.
int64_t whole_steps(int64_t bytes, int num_ctas) {
  const int64_t step = int64_t{num_ctas} * kThreads * kLoads * static_cast<int64_t>(sizeof(uint4));
  return bytes / step * step;
}

template <class Launch>
void measure_case(const Options& options, const char* name, int64_t bytes_per_iteration,
                  Launch launch) {
  if (std::string(name).find(options.only) == std::string::npos) return;
  Record record("copy");
  record.add_text("case", name);
  record.add("bytes_per_iteration", static_cast<double>(bytes_per_iteration));
  measure(options, record, launch);
  record.print();
}

void run(const Options& options) {
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  const int num_ctas = device.multiProcessorCount * kCtasPerSm;
  const int64_t most = std::min(options.bytes, static_cast<int64_t>(device.totalGlobalMem / 8));
  const int64_t bytes = whole_steps(most, num_ctas);
  const int64_t l2_bytes = whole_steps(std::min(kL2Bytes, bytes), num_ctas);
  const int64_t num_words = bytes / sizeof(uint4);
  const int64_t l2_words = l2_bytes / sizeof(uint4);
  const DeviceArray<uint4> source(num_words), destination(num_words);
  const DeviceArray<uint32_t> sink(static_cast<size_t>(num_ctas) * kThreads);
  check(cudaMemset(source.data(), 1, bytes), "cudaMemset");

  measure_case(options, "cudaMemcpy", 2 * bytes, [&](int iterations) {
    for (int i = 0; i < iterations; ++i) {
      check(cudaMemcpyAsync(destination.data(), source.data(), bytes, cudaMemcpyDeviceToDevice),
            "cudaMemcpyAsync");
    }
  });
  measure_case(options, "copy", 2 * bytes, [&](int iterations) {
    copy_words<<<num_ctas, kThreads>>>(source.data(), destination.data(), num_words, iterations);
  });
  measure_case(options, "read", bytes, [&](int iterations) {
    read_words<<<num_ctas, kThreads>>>(source.data(), sink.data(), num_words, iterations);
  });
  measure_case(options, "read L2", l2_bytes, [&](int iterations) {
    read_words<<<num_ctas, kThreads>>>(source.data(), sink.data(), l2_words, iterations);
  });
}

}  // namespace
}  // namespace ceilings

int main(int argc, char** argv) {
  ceilings::run(ceilings::parse_options(argc, argv));
}
