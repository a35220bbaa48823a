// Functions that device code calls and no module defines: vprintf, __assertfail.
#pragma once

#include <string_view>

#include "execute/program.h"

namespace emulator {

// Null where there is no such function.
Builtin builtin_named(std::string_view name);

}  // namespace emulator
