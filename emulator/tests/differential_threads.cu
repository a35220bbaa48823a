// What threads do together - shuffles, votes, reductions, atomics, barriers, calls - against a
// model on the host. Usage: differential_threads; ends with status 1 where anything differs.
#include <cooperative_groups.h>
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "differential.h"

namespace {

namespace groups = cooperative_groups;
constexpr int kThreads = 256, kWarp = 32;
int differences = 0;

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& host) : size_(host.size()) {
    cudaMalloc(&data_, size_ * sizeof(T));
    cudaMemcpy(data_, host.data(), size_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  explicit DeviceArray(int size) : DeviceArray(std::vector<T>(size)) {}
  ~DeviceArray() { cudaFree(data_); }
  T* get() { return data_; }
  std::vector<T> host() const {
    std::vector<T> copy(size_);
    const cudaError_t error =
        cudaMemcpy(copy.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost);
    if (error != cudaSuccess) {
      std::printf("%s\n", cudaGetErrorString(error));
      std::exit(1);
    }
    return copy;
  }

 private:
  size_t size_;
  T* data_ = nullptr;
};

template <typename T>
void compare(const char* what, const std::vector<T>& device, const std::vector<T>& host) {
  for (size_t i = 0; i < host.size(); ++i) {
    if (device[i] == host[i]) continue;
    ++differences;
    std::printf("%s[%zu]: device %lld, host %lld\n", what, i, (long long)(device[i]),
                (long long)(host[i]));
    return;
  }
}

std::vector<uint32_t> draws(int n, uint32_t seed) {
  std::vector<uint32_t> values(n);
  for (uint32_t& v : values) v = (seed = seed * 1664525 + 1013904223) ^ (seed >> 15);
  return values;
}

// Shuffles in segments of `width`; lanes of `mask` alone take part.
constexpr int kNumShuffles = 4;
__global__ void shuffle(const uint32_t* in, const int* by, uint32_t mask, int width,
                        uint32_t* out) {
  const int lane = int(threadIdx.x);
  if (!(mask >> lane & 1)) return;
  out[lane] = __shfl_sync(mask, in[lane], by[lane], width);
  out[kWarp + lane] = __shfl_up_sync(mask, in[lane], unsigned(by[0]) & 31, width);
  out[2 * kWarp + lane] = __shfl_down_sync(mask, in[lane], unsigned(by[1]) & 31, width);
  out[3 * kWarp + lane] = __shfl_xor_sync(mask, in[lane], by[2] & 31, width);
}
std::vector<uint32_t> shuffled(const std::vector<uint32_t>& in, const std::vector<int>& by,
                               int width) {
  std::vector<uint32_t> out(kNumShuffles * kWarp);
  for (int lane = 0; lane < kWarp; ++lane) {
    const int first = lane / width * width, last = first + width - 1;
    const int up = lane - (by[0] & 31), down = lane + (by[1] & 31), across = lane ^ (by[2] & 31);
    out[lane] = in[first + (by[lane] & (width - 1))];
    out[kWarp + lane] = in[up < first ? lane : up];
    out[2 * kWarp + lane] = in[down > last ? lane : down];
    out[3 * kWarp + lane] = in[across > last ? lane : across];
  }
  return out;
}

void check_shuffles() {
  for (int width = 1; width <= kWarp; width *= 2) {
    const std::vector<uint32_t> in = draws(kWarp, 7 + width), random = draws(kWarp, width);
    const std::vector<int> by(random.begin(), random.end());
    DeviceArray<uint32_t> device_in(in), out(kNumShuffles * kWarp);
    DeviceArray<int> device_by(by);
    shuffle<<<1, kWarp>>>(device_in.get(), device_by.get(), ~0u, width, out.get());
    compare("shuffle", out.host(), shuffled(in, by, width));
  }
}

// Votes, matches and reductions among the lanes that a random mask leaves.
constexpr int kNumVotes = 12;
__global__ void vote(const uint32_t* in, uint32_t mask, uint32_t* out) {
  const int lane = int(threadIdx.x);
  if (!(mask >> lane & 1)) return;
  const uint32_t x = in[lane], few = x % 3;
  int all_equal = 0;
  const uint32_t matched = __match_all_sync(mask, few & 4, &all_equal);
  const uint32_t results[kNumVotes] = {
      __ballot_sync(mask, x & 1),
      uint32_t(__any_sync(mask, few == 2)),
      uint32_t(__all_sync(mask, x != 7)),
      __match_any_sync(mask, few),
      matched + uint32_t(all_equal),
      __reduce_add_sync(mask, x),
      __reduce_min_sync(mask, x),
      uint32_t(__reduce_max_sync(mask, int(x))),
      __reduce_and_sync(mask, x | 0xFF),
      __reduce_or_sync(mask, x & 0xF0F),
      __reduce_xor_sync(mask, x),
      uint32_t(__match_any_sync(mask, uint64_t(few) << 40) & __activemask())};
  for (int i = 0; i < kNumVotes; ++i) out[i * kWarp + lane] = results[i];
}
std::vector<uint32_t> voted(const std::vector<uint32_t>& in, uint32_t mask) {
  std::vector<uint32_t> out(kNumVotes * kWarp);
  uint32_t r[kNumVotes] = {0, 0, 1, 0, mask + 1, 0, ~0u, 1u << 31, ~0u, 0, 0};
  uint32_t same[3] = {};
  for (int lane = 0; lane < kWarp; ++lane) {
    if (!(mask >> lane & 1)) continue;
    const uint32_t x = in[lane];
    r[0] |= (x & 1) << lane;
    r[1] |= x % 3 == 2;
    r[2] &= x != 7;
    same[x % 3] |= 1u << lane;
    r[5] += x;
    r[6] = std::min(r[6], x);
    r[7] = uint32_t(std::max(int(r[7]), int(x)));
    r[8] &= x | 0xFF;
    r[9] |= x & 0xF0F;
    r[10] ^= x;
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    if (!(mask >> lane & 1)) continue;
    for (int i = 0; i < kNumVotes; ++i) out[i * kWarp + lane] = r[i];
    out[3 * kWarp + lane] = out[11 * kWarp + lane] = same[in[lane] % 3];
  }
  return out;
}

void check_votes() {
  for (const uint32_t mask : {~0u, 1u, 0x80000000u, 0x0F0FF0F3u, 0x7FFFFFFEu}) {
    const std::vector<uint32_t> in = draws(kWarp, mask);
    DeviceArray<uint32_t> device_in(in), out(kNumVotes * kWarp);
    vote<<<1, kWarp>>>(device_in.get(), mask, out.get());
    compare("vote", out.host(), voted(in, mask));
  }
}

// Atomics that give the same whatever the order.
constexpr int kNumCells = 16;
__global__ void count(const uint32_t* in, uint32_t* cells, uint64_t* wide, float* sums,
                      int* signed_cells) {
  __shared__ uint32_t histogram[kNumCells];
  if (threadIdx.x < kNumCells) histogram[threadIdx.x] = 0;
  __syncthreads();
  const uint32_t x = in[blockIdx.x * blockDim.x + threadIdx.x];
  atomicAdd(&histogram[x % kNumCells], 1u);
  atomicAdd(&cells[0], x);
  atomicMin(&cells[1], x);
  atomicMax(&cells[2], x);
  atomicAnd(&cells[3], x | 0xFFFF);
  atomicOr(&cells[4], x & 0xFF00FF);
  atomicXor(&cells[5], x);
  atomicInc(&cells[6], 100);
  atomicDec(&cells[7], 77);
  atomicSub(&cells[8], x);
  for (uint32_t old = cells[9], seen; (seen = atomicCAS(&cells[9], old, old * 2 + 1)) != old;)
    old = seen;
  atomicMin(&signed_cells[0], int(x));
  atomicMax(&signed_cells[1], int(x));
  atomicAdd((unsigned long long*)(&wide[0]), (unsigned long long)(x) << 20);
  atomicMax((unsigned long long*)(&wide[1]), (unsigned long long)(x) << 20);
  atomicXor((unsigned long long*)(&wide[2]), (unsigned long long)(x) << 30);
  atomicAdd(&sums[0], float(x % 64));
  atomicAdd((double*)(&sums[2]), double(x));
  __syncthreads();
  if (threadIdx.x < kNumCells) atomicAdd(&cells[16 + threadIdx.x], histogram[threadIdx.x]);
}

void check_atomics() {
  constexpr int n = 4 * kThreads;
  const std::vector<uint32_t> in = draws(n, 99);
  std::vector<uint32_t> cells(32, 0), host(32, 0);
  cells[1] = host[1] = cells[3] = host[3] = ~0u;
  DeviceArray<uint32_t> device_in(in), device_cells(cells);
  DeviceArray<uint64_t> wide(3);
  DeviceArray<float> sums(4);
  DeviceArray<int> signed_cells(2);
  count<<<4, kThreads>>>(device_in.get(), device_cells.get(), wide.get(), sums.get(),
                         signed_cells.get());
  std::vector<uint64_t> host_wide(3);
  float sum = 0;
  double total = 0;
  int least = 0, most = 0;
  for (const uint32_t x : in) {
    host[0] += x, host[8] -= x, host[5] ^= x;
    host[1] = std::min(host[1], x), host[2] = std::max(host[2], x);
    host[3] &= x | 0xFFFF, host[4] |= x & 0xFF00FF;
    host[6] = host[6] >= 100 ? 0 : host[6] + 1;
    host[7] = host[7] == 0 || host[7] > 77 ? 77 : host[7] - 1;
    host[9] = host[9] * 2 + 1;
    ++host[16 + x % kNumCells];
    least = std::min(least, int(x)), most = std::max(most, int(x));
    host_wide[0] += uint64_t(x) << 20, host_wide[2] ^= uint64_t(x) << 30;
    host_wide[1] = std::max(host_wide[1], uint64_t(x) << 20);
    sum += float(x % 64), total += double(x);
  }
  compare("atomic", device_cells.host(), host);
  compare("signed atomic", signed_cells.host(), {least, most});
  compare("64-bit atomic", wide.host(), host_wide);
  const std::vector<float> device_sums = sums.host();
  double device_total;
  memcpy(&device_total, &device_sums[2], sizeof device_total);
  compare("float atomic", {double(device_sums[0]), device_total},
          std::vector<double>{double(sum), total});
}

// An inclusive scan in shared memory, another by shuffles of a cooperative group, and barriers that
// count.
__global__ void scan(const uint32_t* in, uint32_t* out) {
  extern __shared__ uint32_t buffer[];
  const int i = int(threadIdx.x);
  buffer[i] = in[i];
  __syncthreads();
  for (int step = 1; step < kThreads; step *= 2) {
    const uint32_t before = i >= step ? buffer[i - step] : 0;
    __syncthreads();
    buffer[i] += before;
    __syncthreads();
  }
  out[i] = buffer[i];
  const auto tile = groups::tiled_partition<8>(groups::this_thread_block());
  uint32_t sum = in[i];
  for (int step = 4; step > 0; step /= 2) sum += tile.shfl_xor(sum, step);
  out[kThreads + i] = sum;
  const int odd = __syncthreads_count(int(in[i] & 1));
  out[2 * kThreads + i] = uint32_t(odd) * 4 + (__syncthreads_or(in[i] == 1) ? 2 : 0) +
                          (__syncthreads_and(i < kThreads) ? 1 : 0);
}

void check_scan() {
  const std::vector<uint32_t> in = draws(kThreads, 5);
  DeviceArray<uint32_t> device_in(in), out(3 * kThreads);
  scan<<<1, kThreads, kThreads * sizeof(uint32_t)>>>(device_in.get(), out.get());
  std::vector<uint32_t> host(3 * kThreads);
  std::partial_sum(in.begin(), in.end(), host.begin());
  uint32_t odd = 0;
  bool one = false;
  for (const uint32_t x : in) odd += x & 1, one |= x == 1;
  for (int i = 0; i < kThreads; ++i) {
    host[kThreads + i] = std::accumulate(&in[i / 8 * 8], &in[i / 8 * 8] + 8, 0u);
    host[2 * kThreads + i] = odd * 4 + (one ? 2 : 0) + 1;
  }
  compare("scan", out.host(), host);
}

// Virtual functions, functions through a table in memory, divergent recursion, jumps into a loop.
struct Shape {
  HD explicit Shape(uint32_t size) : size(size) {}
  __host__ __device__ virtual uint32_t area(uint32_t x) const = 0;
  uint32_t size;
};
struct Square : Shape {
  using Shape::Shape;
  __host__ __device__ uint32_t area(uint32_t x) const override { return size * size + x; }
};
struct Tower : Shape {
  using Shape::Shape;
  __host__ __device__ uint32_t area(uint32_t x) const override { return descend(size + x, 5); }
};
HD_CALL uint32_t wander(uint32_t x) {
  uint32_t steps = 0;
  if (x & 1) goto middle;
top:
  x = x * 5 + 1;
  if (++steps > 20) return x;
  if (x % 7 == 0) goto out;
middle:
  x ^= x >> 3;
  if (x & 4) goto top;
  if (++steps < 30) goto middle;
out:
  return x + steps;
}
HD uint64_t called(uint32_t x) {
  const Square square(x & 15);
  const Tower tower(x >> 4);
  const Shape* const shapes[2] = {&square, &tower};
  uint64_t hash = mixed(1, shapes[x & 1]->area(x));
  hash = mixed(hash, twist(x, x >> 3, x >> 7));
  return mixed(hash, wander(x));
}
__global__ void call(const uint32_t* in, uint64_t* out) {
  out[threadIdx.x] = called(in[threadIdx.x]);
}

void check_calls() {
  const std::vector<uint32_t> in = draws(kThreads, 21);
  DeviceArray<uint32_t> device_in(in);
  DeviceArray<uint64_t> out(kThreads);
  call<<<1, kThreads>>>(device_in.get(), out.get());
  std::vector<uint64_t> host;
  for (const uint32_t x : in) host.push_back(called(x));
  compare("call", out.host(), host);
}

// Once on the device, once on the host: the test compares the lines.
HD void print() {
  printf("%d|%5d|%-5d|%05d|%+d|%x|%#X|%o|%c|%%\n", -7, 42, 42, 42, 42, 0xBEEFu, 0xBEEFu, 8u, 'q');
  printf("%lld|%llu|%hhd|%hd|%ld|%zu\n", -5000000000ll, 18446744073709551615ull, 7, -3, -9l,
         size_t(5));
  printf("%f|%.3f|%10.2e|%g|%G|%a|%s|%10s|%-6s|%.2s\n", 1.5, -2.0 / 3, 12345.678, 1e-7, 1e20, 0.5,
         "text", "right", "left", "cut");
  printf("%*d|%.*f|none\n", 6, 17, 2, 3.14159);
}
__global__ void print_on_device() {
  print();
}

}  // namespace

int main() {
  check_shuffles();
  check_votes();
  check_atomics();
  check_scan();
  check_calls();
  print_on_device<<<1, 1>>>();
  cudaDeviceSynchronize();
  print();
  return differences == 0 ? 0 : 1;
}
