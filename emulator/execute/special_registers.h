// PTX's special registers: those that a warp knows at its start, and those that change under way.
#pragma once

#include <optional>
#include <string_view>

#include "execute/decoder.h"
#include "execute/program.h"

namespace emulator {

// "%tid.x" -> kTidX; empty for all that a warp cannot fill in at its start.
std::optional<Special> special_named(std::string_view name);

// The decoder of a `mov` from %clock, %clock64, %globaltimer, ...; null for other registers.
Decoder clock_decoder(std::string_view name);

// The value that lane `lane` of `warp` sees.
uint64_t value_of(Special special, Warp& warp, int lane);

}  // namespace emulator
