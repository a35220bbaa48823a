// Deliberate errors in one family of instructions. A program that still passes with one planted
// does not check what it seems to check.
#pragma once

#include <string_view>

#include "execute/decoder.h"

namespace emulator {

enum class Plant : uint8_t {
  kNone,
  kLanes,     // two lanes' parts of the result are exchanged
  kMetadata,  // mma.sp: the two positions of a lane's first group are exchanged
  kHalfK,     // mma: the second half of K counts as zero
};

// What EMULATOR_PLANT asks for: "FAMILY:ERROR", such as "mma.sp:half-k" or "ldmatrix:lanes". FAMILY
// is an opcode, or mma.sp for the sparse forms (mma then means the dense ones).
Plant planted_in(const ptx::Instruction& instruction);

// Makes `op`, decoded from `instruction`, wrong in the way asked for.
void plant(Plant plant, const ptx::Instruction& instruction, DecodeContext& context, Op& op);

}  // namespace emulator
