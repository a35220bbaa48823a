// Small kernels, each with and without one mistake. The line that a finding must name is marked
// `<- KIND: KERNEL`. Usage: mistakes KERNEL right|wrong
#include <cuda_pipeline.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr int kThreads = 128;  // four warps
constexpr int kWarp = 32;

template <bool kWrong>
__global__ void global_bounds(int n, int* out) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n + (kWrong ? 1 : 0)) {
    out[i] = i;  // <- out-of-bounds: global_bounds
  }
}

template <bool kWrong>
__global__ void shared_bounds(int n, int* out) {
  extern __shared__ int tile[];
  const int i = static_cast<int>(threadIdx.x) + (kWrong ? n - kThreads + 1 : 0);
  tile[i] = i;  // <- out-of-bounds: shared_bounds
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x ^ (kWrong ? 0 : 1)] * n;
}

template <bool kWrong>
__global__ void local_bounds(int n, int* out) {
  int window[4] = {n, n + 1, n + 2, n + 3};
  const int last = kWrong ? 4 : 3;
  for (int i = 0; i < 4; ++i) window[(i * n) & 3] += i;
  out[threadIdx.x] = window[last + n - kThreads];  // <- out-of-bounds: local_bounds
}

struct Table {
  int entries[4];
};

template <bool kWrong>
__global__ void param_bounds(const __grid_constant__ Table table, int n, int* out) {
  const int index = (kWrong ? 400 : 0) + n - kThreads;
  out[threadIdx.x] = table.entries[index];  // <- out-of-bounds: param_bounds
}

template <bool kWrong>
__global__ void misaligned(int n, float* out) {
  auto* pairs = reinterpret_cast<float2*>(out + (kWrong ? 1 : 0));
  if (static_cast<int>(threadIdx.x) < n / 4) {
    pairs[threadIdx.x] = make_float2(1, 2);  // <- misaligned: misaligned
  }
}

template <bool kWrong>
__global__ void uninitialised_shared(int, int* out) {
  __shared__ int tile[kThreads];
  if (!kWrong || threadIdx.x != 5) tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x ^ 1];  // <- uninitialised-read: uninitialised_shared
}

template <bool kWrong>
__global__ void uninitialised_global(int n, int* out) {
  const int i = static_cast<int>(threadIdx.x);
  if (!kWrong) out[i + n] = i;
  out[i] = out[i + n] + 1;  // <- uninitialised-read: uninitialised_global
}

template <bool kWrong>
__global__ void race(int, int* out) {
  __shared__ int tile[kThreads];
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (!kWrong) __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x ^ kWarp];  // <- race: race
}

// A ring of two buffers without the barrier that keeps a fast warp from overwriting a slow one's.
template <bool kWrong>
__global__ void overwritten(int n, int* out) {
  __shared__ int tile[2][kThreads];
  int sum = 0;
  for (int step = 0; step < 4; ++step) {
    int* buffer = tile[kWrong ? 0 : step & 1];
    buffer[threadIdx.x] = n + step;  // <- race: overwritten
    __syncthreads();
    sum += buffer[threadIdx.x ^ kWarp];
  }
  out[threadIdx.x] = sum;
}

template <bool kWrong>
__global__ void unfinished_copy(int n, int* out) {
  __shared__ alignas(16) int tile[kThreads * 4];
  __pipeline_memcpy_async(&tile[threadIdx.x * 4], out + n + threadIdx.x * 4, 16);
  __pipeline_commit();
  if (!kWrong) __pipeline_wait_prior(0);
  out[threadIdx.x] = tile[threadIdx.x * 4];  // <- unfinished-copy: unfinished_copy
}

// The copy is waited for by the thread that made it, but another warp reads without a barrier.
template <bool kWrong>
__global__ void copy_without_barrier(int n, int* out) {
  __shared__ alignas(16) int tile[kThreads * 4];
  __pipeline_memcpy_async(&tile[threadIdx.x * 4], out + n + threadIdx.x * 4, 16);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  if (!kWrong) __syncthreads();
  out[threadIdx.x] = tile[(threadIdx.x ^ kWarp) * 4];  // <- race: copy_without_barrier
}

__device__ uint32_t load_row(const void* row) {
  uint32_t words;
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  // clang-format off
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(words) : "r"(address));  // <- divergent-aligned: divergent
  // clang-format on
  return words;
}

template <bool kWrong>
__global__ void divergent(int n, int* out) {
  __shared__ alignas(16) int tile[kThreads];
  tile[threadIdx.x] = n;
  __syncthreads();
  uint32_t words = 0;
  if (!kWrong || threadIdx.x % kWarp < 16) {
    words = load_row(&tile[threadIdx.x % 8 * 4]);
  }
  out[threadIdx.x] = static_cast<int>(words);
}

template <bool kWrong>
__global__ void deadlock(int, int* out) {
  out[threadIdx.x] = 1;
  if (kWrong && threadIdx.x / kWarp == 0) {
    asm volatile("bar.sync 1, 64;");
  } else {
    asm volatile("bar.sync 2, 96;");  // <- deadlock: deadlock
  }
  if (!kWrong) out[threadIdx.x] = 2;
}

template <bool kWrong>
__global__ void metadata(int n, int* out) {
  // Two stored ones in every group; 0x4 names positions 0 and 1, 0x0 the same position twice.
  const uint32_t ones = 0x3C003C00u;
  const uint32_t positions = kWrong ? 0x44444440u : 0x44444444u;
  float d[4] = {0, 0, 0, 0};
  asm volatile(
      "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
      "{%4,%4,%4,%4}, {%4,%4,%4,%4}, {%0,%1,%2,%3}, %5, 0x0;"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(ones), "r"(positions));  // <- invalid-metadata: metadata
  out[threadIdx.x] = static_cast<int>(d[0]) + n;
}

template <bool kWrong>
__global__ void touch(int n, int* out) {
  if (static_cast<int>(threadIdx.x) < n) {
    out[threadIdx.x] = n;  // <- use-after-free: freed; out-of-bounds: unregistered
  }
}

int failures = 0;
void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
  ++failures;
}

using Simple = void (*)(int, int*);

struct Case {
  const char* name;
  Simple right, wrong;
  int out_elems;    // as many as the right kernel needs
  bool initialise;  // what lies behind the first kThreads elements
  int shared_bytes;
};

constexpr int kTableBytes = kThreads * 4;
const Case kCases[] = {
    {"global_bounds", global_bounds<false>, global_bounds<true>, kThreads, false, 0},
    {"shared_bounds", shared_bounds<false>, shared_bounds<true>, kThreads, false, kTableBytes},
    {"local_bounds", local_bounds<false>, local_bounds<true>, kThreads, false, 0},
    {"uninitialised_shared", uninitialised_shared<false>, uninitialised_shared<true>, kThreads,
     false, 0},
    {"uninitialised_global", uninitialised_global<false>, uninitialised_global<true>, 2 * kThreads,
     false, 0},
    {"race", race<false>, race<true>, kThreads, false, 0},
    {"overwritten", overwritten<false>, overwritten<true>, kThreads, false, 0},
    {"unfinished_copy", unfinished_copy<false>, unfinished_copy<true>, 5 * kThreads, true, 0},
    {"copy_without_barrier", copy_without_barrier<false>, copy_without_barrier<true>, 5 * kThreads,
     true, 0},
    {"divergent", divergent<false>, divergent<true>, kThreads, false, 0},
    {"deadlock", deadlock<false>, deadlock<true>, kThreads, false, 0},
    {"metadata", metadata<false>, metadata<true>, kThreads, false, 0},
};

// global_bounds launches one thread more than there are elements, so that one can be beyond.
int threads_of(const Case& c) {
  if (std::strcmp(c.name, "global_bounds") == 0) return kThreads + kWarp;
  return std::strcmp(c.name, "deadlock") == 0 ? kThreads - kWarp : kThreads;
}

void run(const Case& c, bool is_wrong) {
  int* out = nullptr;
  check(cudaMalloc(&out, c.out_elems * sizeof(int)));
  if (c.initialise) check(cudaMemset(out, 0, c.out_elems * sizeof(int)));
  (is_wrong ? c.wrong : c.right)<<<2, threads_of(c), c.shared_bytes>>>(kThreads, out);
  check(cudaGetLastError());
  check(cudaDeviceSynchronize());
  check(cudaFree(out));
}

void run_param_bounds(bool is_wrong) {
  int* out = nullptr;
  check(cudaMalloc(&out, kTableBytes));
  const Table table{{1, 2, 3, 4}};
  if (is_wrong) {
    param_bounds<true><<<1, kThreads>>>(table, kThreads, out);
  } else {
    param_bounds<false><<<1, kThreads>>>(table, kThreads, out);
  }
  check(cudaDeviceSynchronize());
}

void run_misaligned(bool is_wrong) {
  float* out = nullptr;
  check(cudaMalloc(&out, kTableBytes));
  if (is_wrong) {
    misaligned<true><<<1, kThreads>>>(kThreads, out);
  } else {
    misaligned<false><<<1, kThreads>>>(kThreads, out);
  }
  check(cudaDeviceSynchronize());
}

void run_freed(bool is_wrong) {
  int* out = nullptr;
  check(cudaMalloc(&out, kTableBytes));
  if (is_wrong) check(cudaFree(out));
  touch<false><<<1, kThreads>>>(kThreads, out);
  check(cudaDeviceSynchronize());
}

void run_unregistered(bool is_wrong) {
  static int out[kThreads];
  if (!is_wrong) check(cudaHostRegister(out, sizeof out, cudaHostRegisterDefault));
  touch<false><<<1, kThreads>>>(kThreads, out);
  check(cudaDeviceSynchronize());
}

struct Special {
  const char* name;
  void (*run)(bool is_wrong);
};
const Special kSpecials[] = {{"param_bounds", run_param_bounds},
                             {"misaligned", run_misaligned},
                             {"freed", run_freed},
                             {"unregistered", run_unregistered}};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const bool is_wrong = std::strcmp(argv[2], "wrong") == 0;
  for (const Case& c : kCases) {
    if (std::strcmp(c.name, argv[1]) == 0) {
      run(c, is_wrong);
      return failures;
    }
  }
  for (const Special& s : kSpecials) {
    if (std::strcmp(s.name, argv[1]) == 0) {
      s.run(is_wrong);
      return failures;
    }
  }
  return 2;
}
