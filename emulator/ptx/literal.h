// Numeric literals: decimal, hexadecimal, octal and binary integers, floats by value (1.5) or by
// their bits (0f3F800000, 0d3FF8000000000000).
#pragma once

#include <cstdint>
#include <string_view>

#include "ptx/lexer.h"

namespace emulator::ptx {

struct Number {
  Literal literal = Literal::kInteger;
  int64_t value = 0;  // as in Operand
};

// Both consume an optional minus sign and a literal.
Number parse_number(Lexer& lexer);
int64_t parse_integer(Lexer& lexer);

bool starts_number(const Token& token);

}  // namespace emulator::ptx
