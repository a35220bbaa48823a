#include "core/validate.h"

#include <cstdint>
#include <string>

namespace sparse_gemm {
namespace {

bool is_scale_type(DType dtype) {
  return dtype == DType::kFloat32;
}

bool is_float_term(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat16 || dtype == DType::kBFloat16;
}

Status check_term(const char* name, const void* data, DType dtype, bool accepted,
                  const char* expected) {
  if (data == nullptr || accepted) return Status::ok();
  return Status::invalid_argument(std::string(name) + " has dtype " + std::string(name_of(dtype)) +
                                  "; expected " + expected);
}

}  // namespace

Status validate(const Problem& problem) {
  constexpr const char* kFloats = "float32, float16 or bfloat16";
  if (problem.m < 0 || problem.n < 0 || problem.k < 0) {
    return Status::invalid_argument("negative extent: M=" + std::to_string(problem.m) + ", N=" +
                                    std::to_string(problem.n) + ", K=" + std::to_string(problem.k));
  }
  if (problem.a.dtype != problem.b.dtype) {
    return Status::invalid_argument("the dense operand has dtype " +
                                    std::string(name_of(problem.b.dtype)) + ", the sparse one " +
                                    std::string(name_of(problem.a.dtype)) +
                                    "; expected the same: convert one of them");
  }
  constexpr int64_t kMaxInt8Product = 128 * 128;
  if (problem.a.dtype == DType::kInt8 &&
      k_compressed(problem.a.pattern, problem.k) > INT32_MAX / kMaxInt8Product) {
    return Status::unsupported("K is " + std::to_string(problem.k) +
                               ": an int32 sum of that many int8 products could wrap; split K");
  }
  const Epilogue& e = problem.epilogue;
  for (const Status& status :
       {check_term("w_scale", e.scale_m.data, e.scale_m.dtype, is_scale_type(e.scale_m.dtype),
                   "float32"),
        check_term("x_scale", e.scale_n.data, e.scale_n.dtype, is_scale_type(e.scale_n.dtype),
                   "float32"),
        check_term("bias", e.bias.data, e.bias.dtype, is_float_term(e.bias.dtype), kFloats),
        check_term("residual", e.c.data, e.c.dtype, is_float_term(e.c.dtype), kFloats),
        check_term("gate", e.gate.data, e.gate.dtype, is_float_term(e.gate.dtype), kFloats)}) {
    if (!status.is_ok()) return status;
  }
  return Status::ok();
}

}  // namespace sparse_gemm
