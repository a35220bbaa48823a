// zstd by the library of the machine, where there is one: its headers are not needed to build.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace emulator {

// Throws std::runtime_error where there is no libzstd.so.1 or where `data` is no zstd frame of
// `full_bytes` bytes.
std::string decompress_zstd(std::string_view data, size_t full_bytes);

}  // namespace emulator
