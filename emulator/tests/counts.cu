// Kernels small enough to count by hand: one warp, one CTA each unless said otherwise.
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr int kLanes = 32;

// One coalesced 4-byte load and store: 128 bytes, 4 sectors each.
__global__ void coalesced(const int* in, int* out) {
  out[threadIdx.x] = in[threadIdx.x];
}

// Every other word: 32 words over 256 bytes, 8 sectors of 32 bytes.
__global__ void every_other(const int* in, int* out) {
  out[threadIdx.x] = in[2 * threadIdx.x];
}

// One lane of four, 16 bytes each: 8 * 16 bytes, each lane a sector of its own.
__global__ void quarter_lanes(const int* in, int* out) {
  if (threadIdx.x % 4 == 0) {
    const int4 v = reinterpret_cast<const int4*>(in)[2 * threadIdx.x];
    out[threadIdx.x] = v.x + v.y + v.z + v.w;
  }
}

__device__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ void store_word(void* p, int value) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(shared_address(p)), "r"(value) : "memory");
}

// Words `stride` apart: conflict-free, 2-way and 32-way.
template <int kStride>
__global__ void shared_store(const int* in, int* out) {
  __shared__ int tile[kLanes * kStride];
  store_word(&tile[threadIdx.x * kStride], static_cast<int>(threadIdx.x));
}

// All lanes read one word: a broadcast.
__global__ void shared_broadcast(const int* in, int* out) {
  __shared__ int word[1];
  if (threadIdx.x == 0) store_word(word, 7);
  __syncwarp();
  int value;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(value) : "r"(shared_address(word)));
  out[threadIdx.x] = value;
}

// 16 bytes a lane, contiguous: 512 bytes, four wavefronts of 128.
__global__ void shared_vector_store(const int* in, int* out) {
  __shared__ alignas(16) int tile[kLanes * 4];
  const uint32_t address = shared_address(&tile[4 * threadIdx.x]);
  asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(address), "r"(3) : "memory");
}

// Four 8x8 matrices whose rows lie `kPitch` bytes apart: 16 is contiguous, 128 puts all eight rows
// of a matrix into the same four banks.
template <int kPitch>
__global__ void load_matrices(const int* in, int* out) {
  __shared__ alignas(128) unsigned char tile[kLanes * kPitch];
  for (int i = static_cast<int>(threadIdx.x); i < kLanes * kPitch / 4; i += kLanes) {
    reinterpret_cast<int*>(tile)[i] = i;
  }
  __syncwarp();
  uint32_t r[4];
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(tile + threadIdx.x * kPitch)));
  out[threadIdx.x] = static_cast<int>(r[0] + r[1] + r[2] + r[3]);
}

// Two warps in each of three CTAs, five mma.sp a warp: 30.
__global__ void multiply(const int* in, int* out) {
  float d[4] = {0, 0, 0, 0};
#pragma unroll 1
  for (int i = 0; i < 5; ++i) {
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
        "{%4,%4,%4,%4}, {%4,%4,%4,%4}, {%0,%1,%2,%3}, %5, 0x0;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(0x3C003C00u), "r"(0x44444444u));
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = static_cast<int>(d[0]);
}

struct Case {
  const char* name;
  void (*kernel)(const int*, int*);
  int ctas, threads;
};
const Case kCases[] = {
    {"coalesced", coalesced, 1, kLanes},
    {"every_other", every_other, 1, kLanes},
    {"quarter_lanes", quarter_lanes, 1, kLanes},
    {"shared_store_1", shared_store<1>, 1, kLanes},
    {"shared_store_2", shared_store<2>, 1, kLanes},
    {"shared_store_32", shared_store<32>, 1, kLanes},
    {"shared_broadcast", shared_broadcast, 1, kLanes},
    {"shared_vector_store", shared_vector_store, 1, kLanes},
    {"load_matrices_16", load_matrices<16>, 1, kLanes},
    {"load_matrices_128", load_matrices<128>, 1, kLanes},
    {"multiply", multiply, 3, 2 * kLanes},
};

}  // namespace

int main(int argc, char** argv) {
  constexpr int kElems = 4096;
  int* memory = nullptr;
  if (cudaMalloc(&memory, 2 * kElems * sizeof(int)) != cudaSuccess) return 1;
  cudaMemset(memory, 0, 2 * kElems * sizeof(int));
  for (const Case& c : kCases) {
    if (argc == 2 && std::strcmp(c.name, argv[1]) == 0) {
      c.kernel<<<c.ctas, c.threads>>>(memory, memory + kElems);
      return cudaDeviceSynchronize() == cudaSuccess ? 0 : 1;
    }
  }
  return 2;
}
