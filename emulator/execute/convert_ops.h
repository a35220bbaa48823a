// The parts of cvt's decoder.
#pragma once

#include <optional>

#include "execute/decoding.h"
#include "numeric/rounding.h"

namespace emulator {

struct ConvertModifiers {
  std::optional<numeric::Rounding> integral;  // .rni, .rzi, .rmi, .rpi
  std::optional<numeric::Rounding> rounding;  // .rn, .rz, .rm, .rp, .rna
  bool ftz = false, saturate = false, relu = false, satfinite = false;
  struct {
    ptx::Type to, from;
  } types;
};

// convert_integer_ops.cpp: to or from an integer
void decode_integer_cvt(Decoding& decoding, const ConvertModifiers& modifiers);
void decode_cvt_pack(Decoding& decoding);  // cvt.pack

// convert_packed_ops.cpp: f16x2, bf16x2, e4m3x2, e5m2x2
void decode_packed_cvt(Decoding& decoding, const ConvertModifiers& modifiers);

}  // namespace emulator
