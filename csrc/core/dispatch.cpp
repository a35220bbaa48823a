#include "core/dispatch.h"

#include <algorithm>
#include <string>

namespace sparse_gemm {
namespace {

// One row for each combination that has a kernel. The dense operand has the sparse one's type.
struct SupportRow {
  Backend backend;
  Pattern pattern;
  DType ab_dtype;
  DType d_dtype;
};

constexpr SupportRow kSupport[] = {
    {Backend::kCpu, Pattern::k2of4, DType::kFloat32, DType::kFloat32},
    {Backend::kCpu, Pattern::k2of4, DType::kFloat32, DType::kFloat16},
    {Backend::kCpu, Pattern::k2of4, DType::kFloat32, DType::kBFloat16},
    {Backend::kCpu, Pattern::k2of4, DType::kFloat16, DType::kFloat32},
    {Backend::kCpu, Pattern::k2of4, DType::kFloat16, DType::kFloat16},
    {Backend::kCpu, Pattern::k2of4, DType::kFloat16, DType::kBFloat16},
    {Backend::kCpu, Pattern::k2of4, DType::kBFloat16, DType::kFloat32},
    {Backend::kCpu, Pattern::k2of4, DType::kBFloat16, DType::kFloat16},
    {Backend::kCpu, Pattern::k2of4, DType::kBFloat16, DType::kBFloat16},
    {Backend::kCpu, Pattern::k2of4, DType::kInt8, DType::kInt32},
    {Backend::kCpu, Pattern::k2of4, DType::kInt8, DType::kInt8},
    {Backend::kCpu, Pattern::k2of4, DType::kInt8, DType::kFloat32},
    {Backend::kCpu, Pattern::k2of4, DType::kInt8, DType::kFloat16},
    {Backend::kCpu, Pattern::k2of4, DType::kInt8, DType::kBFloat16},
    {Backend::kCuda, Pattern::k2of4, DType::kFloat16, DType::kFloat32},
    {Backend::kCuda, Pattern::k2of4, DType::kFloat16, DType::kFloat16},
    {Backend::kCuda, Pattern::k2of4, DType::kFloat16, DType::kBFloat16},
    {Backend::kCuda, Pattern::k2of4, DType::kBFloat16, DType::kFloat32},
    {Backend::kCuda, Pattern::k2of4, DType::kBFloat16, DType::kFloat16},
    {Backend::kCuda, Pattern::k2of4, DType::kBFloat16, DType::kBFloat16},
};

bool is_16_bit_float(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16;
}

// What to do when no row fits.
std::string advice(const Problem& problem, Backend backend) {
  const DType dtype = problem.a.dtype;
  if (backend == Backend::kCuda && !is_16_bit_float(dtype)) {
    return "compress a float16 or bfloat16 copy of the matrix instead";
  }
  if (problem.a.pattern == Pattern::k1of2) {
    return "a 1:2 matrix is a valid 2:4 matrix too: compress it with pattern='2:4'";
  }
  if (dtype == DType::kFloat8E4M3 || dtype == DType::kFloat8E5M2) {
    return "compress a bfloat16 or float32 copy of the matrix instead";
  }
  if (problem.a.pattern == Pattern::k4of8)
    return "compress an int8 copy with pattern='2:4' instead";
  return "with " + std::string(name_of(dtype)) + " operands, out_dtype can be " +
         (dtype == DType::kInt8 ? "int32, int8, float32, float16 or bfloat16"
                                : "float32, float16 or bfloat16");
}

}  // namespace

Status check_supported(const Problem& problem, Backend backend) {
  const bool found = std::any_of(std::begin(kSupport), std::end(kSupport), [&](const auto& row) {
    return row.backend == backend && row.pattern == problem.a.pattern &&
           row.ab_dtype == problem.a.dtype && row.d_dtype == problem.d.dtype;
  });
  if (found) return Status::ok();
  return Status::unsupported(
      "the " + std::string(name_of(backend)) + " backend has no kernel for " +
      std::string(traits_of(problem.a.pattern).name) + " " + std::string(name_of(problem.a.dtype)) +
      " operands with " + std::string(name_of(problem.d.dtype)) +
      " output: " + advice(problem, backend));
}

Status check_supported(const CudaProps& props) {
  constexpr int kLeastMajor = 8;  // mma.sp and cp.async came with sm_80
  if (props.capability_major >= kLeastMajor) return Status::ok();
  return Status::unsupported(
      props.name + " has compute capability " + std::to_string(props.capability_major) + "." +
      std::to_string(props.capability_minor) + "; the cuda backend needs 8.0 or later");
}

}  // namespace sparse_gemm
