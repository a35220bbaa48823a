// Immediate operands as the bits of a register.
#pragma once

#include <cstdint>
#include <optional>

#include "ptx/module.h"

namespace emulator {

// The bits that an immediate has as a value of `type`, in the low bits_of(type); empty where PTX
// has no such conversion: an integer is no f32, a float is no f16.
std::optional<uint64_t> literal_bits(const ptx::Operand& immediate, ptx::Type type);

}  // namespace emulator
