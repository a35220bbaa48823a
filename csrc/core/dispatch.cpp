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
};

// What to do when no row fits.
std::string advice(const Problem& problem) {
  const DType dtype = problem.a.dtype;
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
  return Status::unsupported("the cpu backend has no kernel for " +
                             std::string(traits_of(problem.a.pattern).name) + " " +
                             std::string(name_of(problem.a.dtype)) + " operands with " +
                             std::string(name_of(problem.d.dtype)) + " output: " + advice(problem));
}

}  // namespace sparse_gemm
