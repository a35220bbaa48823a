#include "core/dispatch.h"

#include <algorithm>
#include <string>

namespace sparse_gemm {
namespace {

std::string text(std::string_view view) {
  return std::string(view);
}

bool is_16_bit_float(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16;
}
bool is_8_bit_float(DType dtype) {
  return dtype == DType::kFloat8E4M3 || dtype == DType::kFloat8E5M2;
}

// What an accumulator can be written as.
bool is_output_of(DType accumulator, DType d) {
  const bool is_float = d == DType::kFloat32 || is_16_bit_float(d);
  const bool is_integer = d == DType::kInt32 || d == DType::kInt8;
  return is_float || (accumulator == DType::kInt32 && is_integer);
}

std::string operands(const Problem& problem) {
  const std::string a =
      text(traits_of(problem.a.pattern).name) + " " + text(name_of(problem.a.dtype));
  if (problem.a.dtype == problem.b.dtype) return a + " operands";
  return a + " times " + text(name_of(problem.b.dtype)) + " operands";
}

Status no_kernel(const char* backend, const Problem& problem, const std::string& advice) {
  return Status::unsupported("the " + std::string(backend) + " backend has no kernel for " +
                             operands(problem) + " with " + text(name_of(problem.d.dtype)) +
                             " output: " + advice);
}

std::string output_advice(DType dtype, DType accumulator) {
  return "with " + text(name_of(dtype)) + " operands, out_dtype can be " +
         (accumulator == DType::kInt32 ? "int32, int8, float32, float16 or bfloat16"
                                       : "float32, float16 or bfloat16");
}

// --------------------------------------------------------------------------------------------- cpu

bool is_cpu_type(DType dtype) {
  return dtype == DType::kFloat32 || is_16_bit_float(dtype) || dtype == DType::kInt8;
}

// Weights that become the activations' type in registers.
bool is_cpu_weight_only(DType a, DType b) {
  const bool is_float = b == DType::kFloat32 || is_16_bit_float(b);
  return is_float && (a == DType::kInt8 || a == DType::kInt4x2 || is_8_bit_float(a));
}

std::string cpu_advice(const Problem& problem) {
  const DType a = problem.a.dtype;
  if (problem.a.pattern == Pattern::k1of2) {
    return "a 1:2 matrix is a valid 2:4 matrix too: compress it with pattern='2:4'";
  }
  if (is_8_bit_float(problem.b.dtype)) return "activations can be float32, float16 or bfloat16";
  if (problem.a.pattern == Pattern::k4of8)
    return "compress an int8 copy with pattern='2:4' instead";
  const bool is_integer = a == DType::kInt8 && problem.b.dtype == DType::kInt8;
  return output_advice(problem.b.dtype, is_integer ? DType::kInt32 : DType::kFloat32);
}

// -------------------------------------------------------------------------------------------- cuda

std::string version(int capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

std::string cuda_advice(const Problem& problem) {
  const DType a = problem.a.dtype;
  const DType b = problem.b.dtype;
  const Pattern pattern = problem.a.pattern;
  if (problem.accumulate_in_f16) return "only float16 operands can be accumulated in float16";
  if (a == DType::kUInt4x2 || b == DType::kUInt4x2) {
    return "use int4: subtract 8 from the elements, and add 8 times the sums to the result";
  }
  if (a == DType::kFloat32 && b == DType::kFloat32) {
    return "Tensor Cores keep one float32 of two: compress with pattern='1:2' (multiplied as "
           "TF32), "
           "or multiply a .half() or .bfloat16() copy, which can be 2:4";
  }
  if (pattern == Pattern::k1of2) {
    return "a 1:2 matrix is a valid 2:4 matrix too: compress it with pattern='2:4'";
  }
  if (a == DType::kInt4x2 && b == DType::kInt4x2) {
    return "int4 activations need pairs: compress the matrix with pattern='4:8'";
  }
  if (a == DType::kInt4x2 && is_16_bit_float(b)) {
    return "with float16 or bfloat16 activations int4 is 2:4: compress it with pattern='2:4'";
  }
  if (a == DType::kInt4x2) return "activations can be int4, with pattern='2:4' float16 or bfloat16";
  if (a == DType::kInt8) return "activations can be int8, float16 or bfloat16";
  if (is_8_bit_float(a)) {
    return "activations can be float8_e4m3fn, float8_e5m2, float16 or bfloat16";
  }
  if (is_16_bit_float(a)) return "activations must be " + text(name_of(a)) + " too";
  return "compress a float16, bfloat16, int8, float8 or int4 matrix";
}

bool matches(const MultiplyTraits& row, const Problem& problem) {
  const bool in_f16 = row.accumulator == DType::kFloat16;
  return row.pattern == problem.a.pattern && row.a == problem.a.dtype && row.b == problem.b.dtype &&
         in_f16 == problem.accumulate_in_f16;
}

Status lacks_float8(const MultiplyTraits& row, const CudaProps& props) {
  return Status::unsupported(text(name_of(row.a)) + " times " + text(name_of(row.b)) +
                             " needs a device whose mma.sp has it, of compute capability 8.9 (RTX "
                             "40, L4, L40) or 12.0 and later (RTX 50); " +
                             props.name + " has " + version(capability_of(props)) +
                             ": there, multiply float16 or bfloat16 activations, or use int8");
}

}  // namespace

Status check_cpu_support(const Problem& problem) {
  const DType a = problem.a.dtype;
  const DType b = problem.b.dtype;
  const DType accumulator = b == DType::kInt8 ? DType::kInt32 : DType::kFloat32;
  const bool found = problem.a.pattern == Pattern::k2of4 &&
                     ((a == b && is_cpu_type(a)) || is_cpu_weight_only(a, b)) &&
                     !problem.accumulate_in_f16 && is_output_of(accumulator, problem.d.dtype);
  if (found) return Status::ok();
  if (problem.accumulate_in_f16) {
    return no_kernel("cpu", problem, "it accumulates in float32; leave accumulate at its default");
  }
  return no_kernel("cpu", problem, cpu_advice(problem));
}

Status find_multiply(const Problem& problem, const CudaProps& props, Multiply* multiply) {
  const int capability = capability_of(props);
  if (capability < kLeastCapability) {
    return Status::unsupported(props.name + " has compute capability " + version(capability) +
                               "; the cuda backend needs 8.0 or later");
  }
  const auto* row =
      std::find_if(std::begin(kMultiplies), std::end(kMultiplies),
                   [&](const MultiplyTraits& traits) { return matches(traits, problem); });
  if (row == std::end(kMultiplies)) return no_kernel("cuda", problem, cuda_advice(problem));
  if (!is_output_of(row->accumulator, problem.d.dtype)) {
    return no_kernel("cuda", problem, output_advice(row->a, row->accumulator));
  }
  *multiply = static_cast<Multiply>(row - kMultiplies);
  if (is_native(*multiply, capability)) return Status::ok();
  if (*multiply != Multiply::kS4) return lacks_float8(*row, props);
  *multiply = Multiply::kS4AsS8;
  return Status::ok();
}

}  // namespace sparse_gemm
