// How a B of any strides and alignment reaches a stage of the ring: words of 4 bytes where K is
// contiguous and columns begin at multiples of 4 bytes, else element by element through registers.
// B is zero past K and past N.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/problem.h"
#include "cuda/device/stage_layout.h"
#include "cuda/device/work.h"
#include "cuda/ptx/cp_async.h"

namespace sparse_gemm::cuda {

template <CudaTile kTile, Multiply kMultiply>
class AnyBLoader {
  using Layout = StageLayout<kTile, kMultiply>;
  static constexpr int kThreads = kTile.num_threads();
  static constexpr int kElemBytes = Layout::kBElemBytes;
  static constexpr int kWordBytes = 4;
  static constexpr int kWordElems = kWordBytes / kElemBytes;
  static constexpr int kChunkElems = kChunkBytes / kElemBytes;
  static constexpr int kColumnElems = Layout::kColumnBytes / kElemBytes;

 public:
  static constexpr int kCopies = 0;  // none that are a thread's same places of every stage

  // What the constant bank has is asked for again at each stage: there are no registers for it.
  __device__ AnyBLoader(const Problem& problem, const Piece& piece, uint32_t, int)
      : problem_(problem), stage_(piece.k_begin) {
    const DenseOperand& b = problem.b;
    const int64_t n_begin = piece.tile.n * int64_t{kTile.n};
    num_rows_ = static_cast<int>(min(problem.n - n_begin, int64_t{kTile.n}));
    first_ =
        static_cast<const char*>(b.data) + (piece.batch * b.batch_stride + n_begin * b.col_stride +
                                            piece.k_begin * int64_t{kColumnElems} * b.row_stride) *
                                               kElemBytes;
  }

  // The current stage. `smem` and `smem_address` are the place of B in it.
  __device__ void load(char* smem, uint32_t smem_address) const {
    if (has_aligned_words()) {
      load_words(smem_address);
    } else {
      load_elements(smem);
    }
  }

  __device__ void advance(int stages) {
    stage_ += static_cast<uint32_t>(stages);
    first_ += stages * kColumnElems * problem_.b.row_stride * kElemBytes;
  }

 private:
  // The stride of a column without a next one is any number, and even a copy of no bytes needs an
  // aligned address.
  __device__ int64_t n_stride() const { return num_rows_ > 1 ? problem_.b.col_stride : 0; }
  __device__ bool has_aligned_words() const {
    return problem_.b.row_stride == 1 && n_stride() % kWordElems == 0 &&
           reinterpret_cast<uintptr_t>(first_) % kWordBytes == 0;
  }
  // How many of the elements of column `row` from `k` of the stage on, at most `count`, lie within
  // B.
  __device__ int elems_within(int row, int k, int count) const {
    const int64_t left =
        Layout::b_bytes(problem_.k) / kElemBytes - stage_ * int64_t{kColumnElems} - k;
    return row < num_rows_ ? static_cast<int>(max(int64_t{0}, min(int64_t{count}, left))) : 0;
  }
  __device__ const char* element(int row, int k) const {
    return first_ + (row * n_stride() + k * problem_.b.row_stride) * kElemBytes;
  }
  // Where chunk `chunk` of column `row` stands.
  __device__ static int offset_of(int row, int chunk) {
    return chunk / kChunksPerRow * Layout::kPanelBytes +
           swizzled_offset(row, chunk % kChunksPerRow);
  }

  __device__ void load_words(uint32_t smem_address) const {
    constexpr int kWordsPerChunk = kChunkBytes / kWordBytes;
    constexpr int kWordsPerColumn = Layout::kColumnBytes / kWordBytes;
#pragma unroll 4
    for (int word = static_cast<int>(threadIdx.x); word < kTile.n * kWordsPerColumn;
         word += kThreads) {
      const int row = word / kWordsPerColumn;
      const int in_column = word % kWordsPerColumn;
      const int elems = elems_within(row, in_column * kWordElems, kWordElems);
      ptx::cp_async_ca_4(smem_address + offset_of(row, in_column / kWordsPerChunk) +
                             in_column % kWordsPerChunk * kWordBytes,
                         element(row, in_column * kWordElems),
                         static_cast<uint32_t>(elems * kElemBytes));
    }
  }

  // Elements are gathered into a chunk. Lanes run along the dimension of B that is contiguous;
  // either way, 8 neighbouring lanes write 8 different places of the swizzle. Where there is
  // nothing to read, an element that exists is read again: no lane takes a way of its own.
  __device__ void load_elements(char* smem) const {
    using Elem = std::conditional_t<kElemBytes == 1, uint8_t,
                                    std::conditional_t<kElemBytes == 2, uint16_t, uint32_t>>;
    constexpr int kChunks = Layout::kColumnBytes / kChunkBytes;
    constexpr int kElemBits = kElemBytes * 8;
    const int64_t k_stride = problem_.b.row_stride;
    const bool along_k = k_stride == 1;
#pragma unroll 1
    for (int idx = static_cast<int>(threadIdx.x); idx < kTile.n * kChunks; idx += kThreads) {
      const int row = along_k ? idx / kChunks : idx % kTile.n;
      const int chunk = along_k ? idx % kChunks : idx / kTile.n;
      const int elems = elems_within(row, chunk * kChunkElems, kChunkElems);
      const Elem* first = static_cast<const Elem*>(
          elems > 0 ? static_cast<const void*>(element(row, chunk * kChunkElems))
                    : problem_.b.data);
      const int last = max(elems - 1, 0);
      uint32_t elem[kChunkElems];
#pragma unroll
      for (int i = 0; i < kChunkElems; ++i) elem[i] = first[min(i, last) * k_stride];
      uint32_t word[kChunkBytes / kWordBytes] = {};
#pragma unroll
      for (int i = 0; i < kChunkElems; ++i) {
        word[i / kWordElems] |= (i < elems ? elem[i] : 0u) << (i % kWordElems * kElemBits);
      }
      *reinterpret_cast<uint4*>(smem + offset_of(row, chunk)) =
          make_uint4(word[0], word[1], word[2], word[3]);
    }
  }

  const Problem& problem_;
  uint32_t stage_;     // the current one, counted from K = 0
  int num_rows_;       // columns of B in this tile that lie within N
  const char* first_;  // element of the current stage
};

}  // namespace sparse_gemm::cuda
