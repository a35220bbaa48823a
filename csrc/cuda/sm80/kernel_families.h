// The kernels of the table by the file that compiles them, so that files compile side by side: one
// file, one family of operand types.
#pragma once

#include "cuda/device/params.h"

namespace sparse_gemm::cuda::sm80 {

using Kernel = void (*)(GemmParams);

// The kernel of a row of kKernels; null where the row is another family's.
Kernel kernel_of_f16(int row);
Kernel kernel_of_bf16(int row);
Kernel kernel_of_tf32(int row);
Kernel kernel_of_int(int row);
Kernel kernel_of_fp8(int row);  // compiled for sm_89 and later: sm_80's PTX has no fp8
Kernel kernel_of_s8_weights(int row);
Kernel kernel_of_fp8_weights(int row);
Kernel kernel_of_s4_weights(int row);

}  // namespace sparse_gemm::cuda::sm80
