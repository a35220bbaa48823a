// The project's only macros.
#pragma once

// Forced inlining. Scalar helpers that several instruction-set files share must never exist as a
// function of their own: the linker would keep one copy, perhaps the one built for AVX-512.
#define SPARSE_GEMM_INLINE inline __attribute__((always_inline))
