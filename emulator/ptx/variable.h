// Declarations of variables and their initialisers.
#pragma once

#include "ptx/lexer.h"
#include "ptx/module.h"

namespace emulator::ptx {

// What stands between a state space and the names: `.align 16 .v2 .b8`.
struct VariableHead {
  Type type = Type::kNone;
  int num_elements = 1;  // of a vector
  int alignment = 0;     // 0: the natural one
};

// kReg, kParam, ... where `directive` is a state space of variables; else kGeneric.
Space space_of(std::string_view directive);

VariableHead parse_variable_head(Lexer& lexer);
// A name, its array dimensions and its initialiser.
Variable parse_variable(Lexer& lexer, Space space, const VariableHead& head);
// A function's parameters, in parentheses.
std::vector<Variable> parse_parameters(Lexer& lexer);
// `.attribute(...)`: of no consequence here.
void skip_attribute(Lexer& lexer);

}  // namespace emulator::ptx
