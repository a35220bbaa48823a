// Operands of instructions.
#pragma once

#include "ptx/lexer.h"
#include "ptx/module.h"
#include "ptx/scope.h"

namespace emulator::ptx {

Operand parse_operand(Lexer& lexer, const Scopes& scopes);

// The operands up to the semicolon, which is not consumed.
std::vector<Operand> parse_operands(Lexer& lexer, const Scopes& scopes);

}  // namespace emulator::ptx
