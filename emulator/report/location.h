// From instructions to words: source lines, inlining chains, demangled names.
#pragma once

#include <string>
#include <string_view>

#include "ptx/module.h"

namespace emulator {

// "file.cu:12": the innermost frame that does not lie under csrc/cuda/ptx, whose wrappers of single
// instructions are never where a mistake is; without line information, the module's name and PTX
// line.
std::string location_line(const ptx::Module& module, const ptx::Instruction& instruction);

// "void kernel<int>(float *)" for a mangled name; the name itself where it is not one.
std::string readable_name(const std::string& mangled);
// "kernel": without template arguments, parameters and return type, for messages.
std::string short_name(const std::string& mangled);

}  // namespace emulator
