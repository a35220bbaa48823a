// The rate of mma.sync and mma.sp with nothing beside them: no loads, no stores.
//
// One CTA an SM. Each warp holds two A fragments and four B fragments in registers and multiplies
// all pairs, eight independent accumulators, again and again. Prints a record a type and number of
// warps.

#include "cuda/ptx/mma_sync.h"
#include "harness.h"
#include "operands.h"

namespace ceilings {
namespace {

namespace ptx = sparse_gemm::cuda::ptx;

constexpr int kWarpLanes = 32;
constexpr int kMaxWarps = 16;
constexpr int kFragmentsA = 2;
constexpr int kFragmentsB = 4;
constexpr int kMmasPerIteration = kFragmentsA * kFragmentsB;
constexpr int kUnroll = 4;

// A lane's words in the table of operands.
template <class Mma>
constexpr int kLaneWords = kFragmentsA * 4 + kFragmentsB * Mma::kBRegisters;

template <class Mma>
__device__ void run_loop(const uint32_t* operands, const uint32_t* metadata, int iterations,
                         typename Mma::Accumulator* sink, long long* cycles) {
  const uint32_t* mine = operands + threadIdx.x * kLaneWords<Mma>;
  uint32_t a[kFragmentsA][4];
  uint32_t b[kFragmentsB][Mma::kBRegisters];
  uint32_t e[kFragmentsA];
  for (auto& fragment : a) {
    for (uint32_t& word : fragment) word = *mine++;
  }
  for (auto& fragment : b) {
    for (uint32_t& word : fragment) word = *mine++;
  }
  for (int i = 0; i < kFragmentsA; ++i) e[i] = metadata[threadIdx.x * kFragmentsA + i];
  typename Mma::Accumulator d[kFragmentsA][kFragmentsB][4] = {};

  __syncthreads();
  const long long begin = clock64();
#pragma unroll kUnroll
  for (int iteration = 0; iteration < iterations; ++iteration) {
#pragma unroll
    for (int i = 0; i < kFragmentsA; ++i) {
#pragma unroll
      for (int j = 0; j < kFragmentsB; ++j) Mma::run(d[i][j], a[i], b[j], e[i]);
    }
  }
  // The sum waits for the last results, the barrier for the last warp.
  typename Mma::Accumulator sum = 0;
  for (auto& row : d) {
    for (auto& fragment : row) {
      for (auto value : fragment) sum += value;
    }
  }
  sink[blockIdx.x * blockDim.x + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x == 0) cycles[blockIdx.x] = clock64() - begin;
}

// Empty where the architecture lacks the instruction, so that one source serves all.
template <class Mma>
__global__ void __launch_bounds__(kMaxWarps* kWarpLanes, 1)
    mma_loop(const uint32_t* operands, const uint32_t* metadata, int iterations,
             typename Mma::Accumulator* sink, long long* cycles) {
#if defined(__CUDA_ARCH__)
  if constexpr (ptx::is_native(Mma::kNeeds, __CUDA_ARCH__ / 10)) {
    run_loop<Mma>(operands, metadata, iterations, sink, cycles);
  }
#endif
}

template <class Mma>
void measure_mma(const Options& options, const cudaDeviceProp& device, DataType type,
                 int num_warps) {
  if (!ptx::is_native(Mma::kNeeds, 10 * device.major + device.minor)) return;
  const std::string name = std::string(Mma::kInstruction) + " " + traits_of(type).name;
  if (name.find(options.only) == std::string::npos) return;
  const int num_sms = device.multiProcessorCount;
  const int threads = num_warps * kWarpLanes;
  const DeviceArray<uint32_t> operands(normal_words(type, threads * kLaneWords<Mma>, 1));
  const DeviceArray<uint32_t> metadata(legal_metadata(type, threads * kFragmentsA, 2));
  const DeviceArray<typename Mma::Accumulator> sink(static_cast<size_t>(num_sms) * threads);
  const DeviceArray<long long> cycles(num_sms);
  Record record("mma");
  record.add_text("instruction", Mma::kInstruction);
  record.add_text("dtype", traits_of(type).name);
  record.add("sparse", Mma::kSparse);
  record.add("sms", num_sms);
  record.add("warps", num_warps);
  record.add("instructions_per_iteration", num_warps * kMmasPerIteration);
  record.add("dense_equiv_flops_per_instruction", 2.0 * Mma::kM * Mma::kN * Mma::kK);
  measure(
      options, record,
      [&](int iterations) {
        mma_loop<Mma><<<num_sms, threads>>>(operands.data(), metadata.data(), iterations,
                                            sink.data(), cycles.data());
      },
      &cycles);
  record.print();
}

// Two warps on each of the four sub-cores, then four: whichever is faster is the ceiling.
template <class Mma, class MmaSp>
void measure_type(const Options& options, const cudaDeviceProp& device, DataType type) {
  for (int num_warps : {8, kMaxWarps}) {
    measure_mma<Mma>(options, device, type, num_warps);
    measure_mma<MmaSp>(options, device, type, num_warps);
  }
}

}  // namespace
}  // namespace ceilings

int main(int argc, char** argv) {
  using namespace ceilings;
  const Options options = parse_options(argc, argv);
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  measure_type<ptx::MmaF16, ptx::MmaSpF16>(options, device, DataType::kF16);
  measure_type<ptx::MmaBf16, ptx::MmaSpBf16>(options, device, DataType::kBf16);
  measure_type<ptx::MmaTf32, ptx::MmaSpTf32>(options, device, DataType::kTf32);
  measure_type<ptx::MmaS8, ptx::MmaSpS8>(options, device, DataType::kS8);
  measure_type<ptx::MmaE4m3, ptx::MmaSpE4m3>(options, device, DataType::kE4m3);
  measure_type<ptx::MmaS4, ptx::MmaSpS4>(options, device, DataType::kS4);
}
