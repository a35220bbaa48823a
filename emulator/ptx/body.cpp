#include "ptx/body.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "ptx/literal.h"
#include "ptx/operand.h"
#include "ptx/variable.h"

namespace emulator::ptx {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// The source of an instruction on one line, without comments.
std::string one_line(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (is_blank(c)) {
      if (!text.ends_with(' ')) text += ' ';
    } else if (c == '/' && source.substr(i, 2) == "//") {
      i = std::min(source.find('\n', i), source.size()) - 1;
    } else if (c == '/' && source.substr(i, 2) == "/*") {
      i = source.find("*/", i + 2) + 1;
    } else {
      text += c;
    }
  }
  if (text.ends_with(' ')) text.pop_back();
  return text;
}

}  // namespace

BodyParser::BodyParser(Lexer& lexer, Function& function, LineTable& locations)
    : lexer_(lexer), function_(function), locations_(locations), scopes_(function) {
  locations.begin_function(function.name);
  for (const auto* parameters : {&function.results, &function.parameters}) {
    for (const Variable& parameter : *parameters) {
      if (parameter.space == Space::kReg) {
        scopes_.declare_register(parameter.name, parameter.type);
      }
    }
  }
}

void BodyParser::parse() {
  lexer_.expect('{');
  while (!(scopes_.is_outermost() && lexer_.accept('}'))) parse_statement();
}

void BodyParser::parse_statement() {
  const Token token = lexer_.peek();
  if (token.kind == TokenKind::kWord) {
    lexer_.next();
    if (lexer_.accept(':')) {
      parse_label(token.text);
    } else {
      parse_instruction(function_.instructions.emplace_back(), token, token);
    }
  } else if (lexer_.accept('@')) {
    Instruction& instruction = function_.instructions.emplace_back();
    parse_guard(instruction);
    parse_instruction(instruction, token, lexer_.expect(TokenKind::kWord, "an instruction"));
  } else if (token.kind == TokenKind::kDotWord) {
    parse_directive();
  } else if (lexer_.accept('{')) {
    scopes_.open();
    declare_labels_of_scope();
  } else if (lexer_.accept('}')) {
    scopes_.close();
  } else if (!lexer_.accept(';')) {
    lexer_.unexpected("a statement");
  }
}

// A label may be named before it stands, and one of an outer scope may have the same name.
void BodyParser::declare_labels_of_scope() {
  Lexer ahead = lexer_;
  for (int depth = 1; depth > 0;) {
    const Token token = ahead.next();
    if (token.kind == TokenKind::kEnd) lexer_.fail("'{' without its '}'");
    depth += token.is('{') - token.is('}');
    if (depth == 1 && token.kind == TokenKind::kWord && ahead.peek().is(':')) {
      if (scopes_.declare_symbol(token.text).empty()) {
        throw ParseError{token.line, "'" + std::string(token.text) + "' is declared twice"};
      }
    }
  }
}

void BodyParser::parse_directive() {
  if (lexer_.accept(".loc")) return parse_location();
  if (lexer_.accept(".reg")) return parse_registers();
  if (lexer_.accept(".pragma")) {
    lexer_.expect(TokenKind::kString, "a string");
    return lexer_.expect(';');
  }
  const Space space = space_of(lexer_.peek().text);
  if (space == Space::kGeneric || space == Space::kReg) {
    lexer_.fail("unknown directive '" + std::string(lexer_.peek().text) + "'");
  }
  lexer_.next();
  parse_variables(space);
}

// .loc FILE LINE COLUMN [, function_name LABEL [+ OFFSET], inlined_at FILE LINE COLUMN]
void BodyParser::parse_location() {
  const auto parse_place = [this] {
    Place place;
    place.file = static_cast<int>(parse_integer(lexer_));
    place.line = static_cast<int>(parse_integer(lexer_));
    place.column = static_cast<int>(parse_integer(lexer_));
    return place;
  };
  const Place place = parse_place();
  if (!lexer_.accept(',')) {
    chain_ = locations_.locate(place);
    return;
  }
  if (!lexer_.accept("function_name")) lexer_.unexpected("function_name");
  const Token label = lexer_.next();
  const int64_t offset = lexer_.accept('+') ? parse_integer(lexer_) : 0;
  lexer_.expect(',');
  if (!lexer_.accept("inlined_at")) lexer_.unexpected("inlined_at");
  chain_ = locations_.locate_inlined(place, label.text, offset, parse_place());
}

// .reg TYPE name, name<count>;
void BodyParser::parse_registers() {
  const VariableHead head = parse_variable_head(lexer_);
  if (head.num_elements != 1) lexer_.fail("vector registers are not supported");
  do {
    const Token name = lexer_.expect(TokenKind::kWord, "a register's name");
    bool is_new;
    if (lexer_.accept('<')) {
      const int count = static_cast<int>(parse_integer(lexer_));
      lexer_.expect('>');
      is_new = scopes_.declare_registers(name.text, count, head.type);
    } else {
      is_new = scopes_.declare_register(name.text, head.type);
    }
    if (!is_new) lexer_.fail("'" + std::string(name.text) + "' is declared twice");
  } while (lexer_.accept(','));
  lexer_.expect(';');
}

void BodyParser::parse_variables(Space space) {
  const VariableHead head = parse_variable_head(lexer_);
  do {
    const std::string_view name = lexer_.peek().text;
    Variable variable = parse_variable(lexer_, space, head);
    variable.name = scopes_.declare_symbol(name);
    if (variable.name.empty()) lexer_.fail("'" + std::string(name) + "' is declared twice");
    function_.variables.push_back(std::move(variable));
  } while (lexer_.accept(','));
  lexer_.expect(';');
}

void BodyParser::parse_label(std::string_view name) {
  const std::string label = scopes_.find_symbol(name);
  if (lexer_.accept(".branchtargets")) return parse_branch_targets(label);
  if (lexer_.accept(".callprototype") || lexer_.accept(".calltargets")) {
    // A call through a register finds the function's own parameters.
    while (!lexer_.accept(';')) {
      if (lexer_.next().kind == TokenKind::kEnd) lexer_.unexpected("';'");
    }
    return;
  }
  const int index = static_cast<int>(function_.instructions.size());
  if (!function_.labels.emplace(label, index).second) {
    lexer_.fail("label '" + std::string(name) + "' stands twice");
  }
}

void BodyParser::parse_branch_targets(const std::string& label) {
  std::vector<std::string>& targets = function_.branch_targets[label];
  do {
    const Token target = lexer_.expect(TokenKind::kWord, "a label");
    targets.push_back(scopes_.find_symbol(target.text));
  } while (lexer_.accept(','));
  lexer_.expect(';');
}

// From behind the '@'.
void BodyParser::parse_guard(Instruction& instruction) {
  instruction.guard_negated = lexer_.accept('!');
  const Token name = lexer_.expect(TokenKind::kWord, "a predicate register");
  instruction.guard = scopes_.find_register(name.text);
  if (instruction.guard < 0) {
    throw ParseError{name.line, "no register '" + std::string(name.text) + "' for the guard"};
  }
}

// From behind the opcode; `first` is the opcode or the '@' of the guard before it.
void BodyParser::parse_instruction(Instruction& instruction, const Token& first,
                                   const Token& opcode) {
  instruction.line = opcode.line;
  instruction.opcode = opcode.text;
  constexpr size_t kMaxModifiers = 32;
  std::array<std::string_view, kMaxModifiers> modifiers;
  size_t num_modifiers = 0;
  while (lexer_.peek().kind == TokenKind::kDotWord) {
    if (num_modifiers == kMaxModifiers) lexer_.fail("too many modifiers");
    modifiers[num_modifiers++] = lexer_.next().text.substr(1);
  }
  instruction.modifiers.assign(modifiers.begin(), modifiers.begin() + num_modifiers);
  instruction.operands = parse_operands(lexer_, scopes_);
  instruction.chain = chain_;
  if (!lexer_.peek().is(';')) lexer_.unexpected("';'");
  instruction.text = one_line({first.text.data(), lexer_.next().text.data()});
}

}  // namespace emulator::ptx
