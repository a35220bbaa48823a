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

bool is_4_bit(DType dtype) {
  return dtype == DType::kInt4x2 || dtype == DType::kUInt4x2;
}

Status check_term(const char* name, const void* data, DType dtype, bool accepted,
                  const char* expected) {
  if (data == nullptr || accepted) return Status::ok();
  return Status::invalid_argument(std::string(name) + " has dtype " + std::string(name_of(dtype)) +
                                  "; expected " + expected);
}

Status check_group_scales(const Problem& problem) {
  const SparseOperand& a = problem.a;
  if (a.group_size == 0) return Status::ok();
  if (a.group_size != 32 && a.group_size != 64 && a.group_size != 128) {
    return Status::invalid_argument("group_size is " + std::to_string(a.group_size) +
                                    "; expected 32, 64 or 128");
  }
  if (a.group_scale_dtype != DType::kFloat16 && a.group_scale_dtype != DType::kBFloat16) {
    return Status::invalid_argument("group scales have dtype " +
                                    std::string(name_of(a.group_scale_dtype)) +
                                    "; expected float16 or bfloat16");
  }
  if (!is_float_term(problem.b.dtype)) {
    return Status::unsupported("group scales need float32, float16 or bfloat16 activations, not " +
                               std::string(name_of(problem.b.dtype)) +
                               ": give the matrix one scale for each row instead");
  }
  return Status::ok();
}

// The largest product of two elements, as a kernel forms it: 4-bit ones are multiplied by 16 on the
// way where a device has no instruction for them (core/multiply.h).
int64_t max_integer_product(DType dtype) {
  constexpr int64_t kInt8 = 128 * 128;
  constexpr int64_t kInt4 = 8 * 8 * 16;
  return dtype == DType::kInt8 ? kInt8 : kInt4;
}

Status check_integer_sum(const Problem& problem) {
  const DType dtype = problem.a.dtype;
  const bool is_integer = dtype == problem.b.dtype && (dtype == DType::kInt8 || is_4_bit(dtype));
  if (!is_integer) return Status::ok();
  const int64_t kept = k_compressed(problem.a.pattern, problem.k) * (is_4_bit(dtype) ? 2 : 1);
  if (kept <= INT32_MAX / max_integer_product(dtype)) return Status::ok();
  return Status::unsupported("K is " + std::to_string(problem.k) + ": an int32 sum of that many " +
                             std::string(name_of(dtype)) + " products could wrap; split K");
}

}  // namespace

Status validate(const Problem& problem) {
  constexpr const char* kFloats = "float32, float16 or bfloat16";
  if (problem.m < 0 || problem.n < 0 || problem.k < 0) {
    return Status::invalid_argument("negative extent: M=" + std::to_string(problem.m) + ", N=" +
                                    std::to_string(problem.n) + ", K=" + std::to_string(problem.k));
  }
  if (problem.batch < 0) {
    return Status::invalid_argument("negative batch: " + std::to_string(problem.batch));
  }
  if (is_4_bit(problem.b.dtype) && problem.n > 0 && problem.b.row_stride != 1) {
    return Status::invalid_argument("4-bit activations must be contiguous along K, two a byte");
  }
  if (Status status = check_group_scales(problem); !status.is_ok()) return status;
  if (Status status = check_integer_sum(problem); !status.is_ok()) return status;
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
