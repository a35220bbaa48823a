#include "fatbin/zstd.h"

#include <dlfcn.h>

#include <stdexcept>

namespace emulator {
namespace {

// As in zstd.h, whose interface has been stable since 1.0.
using Decompress = size_t(void* target, size_t target_bytes, const void* source,
                          size_t source_bytes);

Decompress* find_decompress() {
  void* const library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return nullptr;
  return reinterpret_cast<Decompress*>(dlsym(library, "ZSTD_decompress"));
}

}  // namespace

std::string decompress_zstd(std::string_view data, size_t full_bytes) {
  static Decompress* const decompress = find_decompress();
  if (!decompress) {
    throw std::runtime_error(
        "the PTX in this fat binary is compressed and this machine has no libzstd.so.1: install "
        "it, or build with nvcc --compress-mode=none");
  }
  std::string text(full_bytes, '\0');
  // An error is returned as a size larger than any buffer.
  if (decompress(text.data(), text.size(), data.data(), data.size()) != full_bytes) {
    throw std::runtime_error("malformed fat binary: its PTX cannot be decompressed");
  }
  return text;
}

}  // namespace emulator
