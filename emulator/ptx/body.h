// The body of a function: statements between its braces.
#pragma once

#include "ptx/lexer.h"
#include "ptx/locations.h"
#include "ptx/module.h"
#include "ptx/scope.h"

namespace emulator::ptx {

class BodyParser {
 public:
  BodyParser(Lexer& lexer, Function& function, LineTable& locations);

  // From the opening brace to the closing one.
  void parse();

 private:
  void parse_statement();
  void parse_directive();
  void parse_location();
  void parse_registers();
  void parse_variables(Space space);
  void parse_label(std::string_view name);
  void parse_branch_targets(const std::string& label);
  void parse_instruction(Instruction& instruction, const Token& first, const Token& opcode);
  void parse_guard(Instruction& instruction);
  void declare_labels_of_scope();

  Lexer& lexer_;
  Function& function_;
  LineTable& locations_;
  Scopes scopes_;
  int chain_ = 0;
};

}  // namespace emulator::ptx
