// Finds the PTX in the fat binary that nvcc embeds in a program.
#pragma once

#include <string>
#include <vector>

namespace emulator {

struct PtxImage {
  std::string text;
  int arch = 0;                // 80 for compute_80
  bool arch_specific = false;  // compute_90a or compute_100f: runs on that architecture alone
};

// `fat_binary` is what __cudaRegisterFatBinary is given, or the binary itself. Throws
// std::runtime_error, which says how to build, where it holds no PTX that can be read.
std::vector<PtxImage> ptx_images(const void* fat_binary);

// The image that a driver would compile for a device of compute capability 80, 89, ...: that of the
// highest architecture which the device has. Throws std::runtime_error where there is none.
const PtxImage& best_for(const std::vector<PtxImage>& images, int compute_capability);

}  // namespace emulator
