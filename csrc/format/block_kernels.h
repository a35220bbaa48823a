// The SIMD kernels of the format, as the walk over a matrix sees them. They work on whole blocks of
// contiguous memory; what is left of a row, and what an instruction set has no kernel for, is done
// group by group with the codecs of group.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/device_props.h"
#include "core/dtype.h"
#include "core/pattern.h"

namespace sparse_gemm::format {

// Metadata bytes in a block: a 128-bit register of them, which every SIMD instruction set has.
inline constexpr int64_t kBlockUnits = 16;
inline constexpr int64_t kBlockGroups = kBlockUnits * kGroupsPerMetadataByte;

// Of one pattern and element type. Those of prune are null where there is none.
struct BlockKernels {
  using Compress = bool (*)(const std::byte* dense, int64_t blocks, std::byte* values,
                            uint8_t* metadata);
  Pattern pattern;
  DType dtype;
  Compress compress;        // false if a group has too many non-zeros
  Compress compress_prune;  // true
  bool (*check)(const std::byte* dense, int64_t blocks);
  bool (*check_metadata)(const uint8_t* metadata, int64_t blocks);
  void (*decompress)(const std::byte* values, const uint8_t* metadata, int64_t blocks,
                     std::byte* dense);
  void (*prune)(const std::byte* dense, int64_t blocks, std::byte* out);
};

std::span<const BlockKernels> avx2_block_kernels();
std::span<const BlockKernels> avx512_vnni_block_kernels();

// The kernels of the most capable instruction set up to `isa` that has some. AVX-512 wants VBMI2
// here, which kAvx512 does not promise.
inline std::span<const BlockKernels> block_kernels(Isa isa) {
#if SPARSE_GEMM_X86
  if (isa >= Isa::kAvx512Vnni) return avx512_vnni_block_kernels();
  if (isa >= Isa::kAvx2) return avx2_block_kernels();
#endif
  (void)isa;
  return {};
}

// Those of a pattern and type, or of a pattern and any type. Null if there are none.
inline const BlockKernels* find_block_kernels(Isa isa, Pattern pattern,
                                              std::optional<DType> dtype = std::nullopt) {
  for (const BlockKernels& kernels : block_kernels(isa)) {
    if (kernels.pattern == pattern && kernels.dtype == dtype.value_or(kernels.dtype)) {
      return &kernels;
    }
  }
  return nullptr;
}

}  // namespace sparse_gemm::format
