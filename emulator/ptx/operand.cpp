#include "ptx/operand.h"

#include <array>
#include <iterator>

#include "ptx/literal.h"

namespace emulator::ptx {
namespace {

constexpr int kWarpSize = 32;  // the predefined constant WARP_SZ

Operand parse_immediate(Lexer& lexer) {
  const Number number = parse_number(lexer);
  Operand operand;
  operand.kind = OperandKind::kImmediate;
  operand.literal = number.literal;
  operand.value = number.value;
  return operand;
}

// `+ imm` or `- imm`, where there is one.
int64_t parse_offset(Lexer& lexer) {
  if (lexer.accept('+') || lexer.peek().is('-')) return parse_integer(lexer);
  return 0;
}

int parse_predicate(Lexer& lexer, const Scopes& scopes) {
  const Token& token = lexer.peek();
  const int reg = token.kind == TokenKind::kWord ? scopes.find_register(token.text) : -1;
  if (reg < 0) lexer.unexpected("a predicate register");
  lexer.next();
  return reg;
}

// A register, a special register, a symbol or the sink.
Operand parse_name(Lexer& lexer, const Scopes& scopes) {
  const std::string_view name = lexer.expect(TokenKind::kWord, "an operand").text;
  Operand operand;
  operand.reg = scopes.find_register(name);
  if (operand.reg >= 0) {
    operand.kind = OperandKind::kRegister;
  } else if (name == "_") {
    operand.kind = OperandKind::kSink;
  } else if (name == "WARP_SZ") {
    operand.kind = OperandKind::kImmediate;
    operand.value = kWarpSize;
  } else if (name[0] == '%') {
    operand.kind = OperandKind::kSpecial;
    operand.symbol = name;
    if (lexer.peek().kind == TokenKind::kDotWord) operand.symbol += lexer.next().text;
  } else {
    operand.kind = OperandKind::kSymbol;
    operand.symbol = scopes.find_symbol(name);
    operand.value = parse_offset(lexer);
  }
  if (lexer.accept('|') && !lexer.accept("_")) operand.second = parse_predicate(lexer, scopes);
  return operand;
}

std::vector<Operand> parse_list(Lexer& lexer, const Scopes& scopes, char end) {
  std::vector<Operand> operands;
  if (!lexer.peek().is(end)) {
    do operands.push_back(parse_operand(lexer, scopes));
    while (lexer.accept(','));
  }
  lexer.expect(end);
  return operands;
}

// After the opening bracket: a base and its offset, then perhaps coordinates as in [map, {x, y}].
Operand parse_address(Lexer& lexer, const Scopes& scopes) {
  Operand address;
  if (starts_number(lexer.peek())) {
    address.value = parse_integer(lexer);
  } else {
    address = parse_name(lexer, scopes);
    if (address.kind == OperandKind::kRegister) {
      address.value = parse_offset(lexer);
    } else if (address.kind != OperandKind::kSymbol) {
      lexer.fail("an address must start with a register, a symbol or a number");
    }
  }
  address.kind = OperandKind::kAddress;
  if (lexer.accept(',')) {
    address.elements = parse_list(lexer, scopes, ']');
  } else {
    lexer.expect(']');
  }
  return address;
}

}  // namespace

Operand parse_operand(Lexer& lexer, const Scopes& scopes) {
  if (lexer.peek().kind == TokenKind::kWord) return parse_name(lexer, scopes);
  if (starts_number(lexer.peek())) return parse_immediate(lexer);
  if (lexer.accept('[')) return parse_address(lexer, scopes);
  Operand operand;
  if (lexer.accept('!')) {
    operand.kind = OperandKind::kRegister;
    operand.negated = true;
    operand.reg = parse_predicate(lexer, scopes);
    return operand;
  }
  operand.kind = OperandKind::kVector;
  if (lexer.accept('{')) {
    operand.elements = parse_list(lexer, scopes, '}');
  } else if (lexer.accept('(')) {
    operand.elements = parse_list(lexer, scopes, ')');
  } else {
    lexer.unexpected("an operand");
  }
  return operand;
}

std::vector<Operand> parse_operands(Lexer& lexer, const Scopes& scopes) {
  // Most instructions have few operands: gathered here, they are stored with one allocation.
  constexpr size_t kUsual = 4;
  std::vector<Operand> operands;
  if (lexer.peek().is(';')) return operands;
  operands.reserve(kUsual);
  do operands.push_back(parse_operand(lexer, scopes));
  while (lexer.accept(','));
  return operands;
}

}  // namespace emulator::ptx
