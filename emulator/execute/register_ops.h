// Decoders that one file defines and another's table lists.
#pragma once

#include "execute/decoding.h"

namespace emulator {

// float_ops.cpp: f32 and f64; f16 and bf16 go on to half_ops.cpp
void decode_float_add(Decoding& decoding);
void decode_float_sub(Decoding& decoding);
void decode_float_mul(Decoding& decoding);
void decode_float_fma(Decoding& decoding);  // also mad
void decode_float_div(Decoding& decoding);
void decode_float_abs(Decoding& decoding);
void decode_float_neg(Decoding& decoding);
void decode_float_min(Decoding& decoding);
void decode_float_max(Decoding& decoding);

// half_ops.cpp
void decode_half_arithmetic(Decoding& decoding);  // add, sub, mul, fma
void decode_half_sign(Decoding& decoding);        // abs, neg
void decode_half_min(Decoding& decoding);
void decode_half_max(Decoding& decoding);
void decode_half_ex2(Decoding& decoding);
void decode_half_tanh(Decoding& decoding);

// carry_ops.cpp
void decode_add_carry(Decoding& decoding);  // add.cc, addc
void decode_sub_carry(Decoding& decoding);  // sub.cc, subc
void decode_mad_carry(Decoding& decoding);  // mad.cc, madc

// bit_ops.cpp
void decode_and(Decoding& decoding);
void decode_or(Decoding& decoding);
void decode_xor(Decoding& decoding);
void decode_not(Decoding& decoding);
void decode_cnot(Decoding& decoding);
void decode_lop3(Decoding& decoding);
void decode_shl(Decoding& decoding);
void decode_shr(Decoding& decoding);
void decode_shf(Decoding& decoding);
void decode_prmt(Decoding& decoding);
void decode_popc(Decoding& decoding);
void decode_clz(Decoding& decoding);
void decode_brev(Decoding& decoding);
void decode_bfind(Decoding& decoding);
void decode_bfe(Decoding& decoding);
void decode_bfi(Decoding& decoding);
void decode_bmsk(Decoding& decoding);
void decode_fns(Decoding& decoding);

// compare_ops.cpp
void decode_setp(Decoding& decoding);
void decode_set(Decoding& decoding);
void decode_selp(Decoding& decoding);
void decode_slct(Decoding& decoding);
void decode_testp(Decoding& decoding);

// move_ops.cpp
void decode_mov(Decoding& decoding);
void decode_cvta(Decoding& decoding);
void decode_isspacep(Decoding& decoding);

}  // namespace emulator
