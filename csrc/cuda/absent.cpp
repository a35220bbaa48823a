// What a build without a CUDA compiler answers: every function of the cuda rooms that others call.
#include <string>

#include "cuda/format/format.h"
#include "cuda/launch.h"
#include "cuda/runtime/runtime.h"

namespace sparse_gemm::cuda {
namespace {

Status absent() {
  return Status::unsupported(unavailable_reason());
}

}  // namespace

const BuildInfo* build_info() {
  return nullptr;
}

int device_count() {
  return 0;
}

std::string unavailable_reason() {
  return "this build has no CUDA part: " SPARSE_GEMM_CUDA_ABSENT;
}

Status device_props(int, const CudaProps**) {
  return absent();
}

Status launch(const Problem&, const CudaPlan&, const Workspace&, Target) {
  return absent();
}

Status capture_id(Target, uint64_t*) {
  return absent();
}

Status prune(const format::DenseView&, Pattern, void*, Target) {
  return absent();
}

Status check(const format::DenseView&, Pattern, int64_t*, Target) {
  return absent();
}

Status compress(const format::DenseView&, format::Policy, const PackedView&, int64_t*, Target) {
  return absent();
}

Status decompress(const PackedView&, void*, Target) {
  return absent();
}

Status pack(const format::CompressedView&, const PackedView&, Target) {
  return absent();
}

Status unpack(const PackedView&, void*, uint8_t*, Target) {
  return absent();
}

Status pack_scales(const void*, const PackedView&, int, void*, Target) {
  return absent();
}

Status unpack_scales(const void*, const PackedView&, int, void*, Target) {
  return absent();
}

}  // namespace sparse_gemm::cuda
