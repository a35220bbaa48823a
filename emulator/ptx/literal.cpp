#include "ptx/literal.h"

#include <bit>
#include <charconv>
#include <limits>
#include <optional>

namespace emulator::ptx {
namespace {

constexpr size_t kFloat32Digits = 8;
constexpr size_t kFloat64Digits = 16;
constexpr int64_t kSignOfFloat32 = int64_t{1} << 31;

std::optional<uint64_t> decode(std::string_view digits, int base) {
  uint64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, base);
  if (digits.empty() || stop != end || error != std::errc()) return std::nullopt;
  return value;
}

std::optional<Number> decode_float_bits(std::string_view digits, size_t num_digits,
                                        Literal literal) {
  const std::optional<uint64_t> bits = decode(digits, 16);
  if (!bits || digits.size() != num_digits) return std::nullopt;
  return Number{literal, static_cast<int64_t>(*bits)};
}

std::optional<Number> decode_decimal_float(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop != end || error != std::errc()) return std::nullopt;
  return Number{Literal::kFloat64Bits, std::bit_cast<int64_t>(value)};
}

std::optional<Number> decode_integer(std::string_view text) {
  const bool has_suffix = text.back() == 'U';
  if (has_suffix) text.remove_suffix(1);
  const char letter = text.size() > 1 && text[0] == '0' ? text[1] : '\0';
  std::optional<uint64_t> value;
  if (letter == 'x' || letter == 'X') {
    value = decode(text.substr(2), 16);
  } else if (letter == 'b' || letter == 'B') {
    value = decode(text.substr(2), 2);
  } else {
    value = decode(text, letter ? 8 : 10);
  }
  if (!value) return std::nullopt;
  const bool is_signed = !has_suffix && *value <= std::numeric_limits<int64_t>::max();
  return Number{is_signed ? Literal::kInteger : Literal::kUnsigned, static_cast<int64_t>(*value)};
}

std::optional<Number> decode_unsigned_literal(std::string_view text) {
  const std::string_view prefix = text.substr(0, 2);
  if (prefix == "0f" || prefix == "0F") {
    return decode_float_bits(text.substr(2), kFloat32Digits, Literal::kFloat32Bits);
  }
  if (prefix == "0d" || prefix == "0D") {
    return decode_float_bits(text.substr(2), kFloat64Digits, Literal::kFloat64Bits);
  }
  const bool is_hexadecimal = prefix == "0x" || prefix == "0X";
  const bool is_float = !is_hexadecimal && text.find_first_of(".eE") != std::string_view::npos;
  return is_float ? decode_decimal_float(text) : decode_integer(text);
}

Number negate(Number number) {
  switch (number.literal) {
    case Literal::kFloat32Bits:
      number.value ^= kSignOfFloat32;
      break;
    case Literal::kFloat64Bits:
      number.value ^= std::numeric_limits<int64_t>::min();
      break;
    default:
      number.value = static_cast<int64_t>(-static_cast<uint64_t>(number.value));
  }
  return number;
}

}  // namespace

bool starts_number(const Token& token) {
  return token.kind == TokenKind::kNumber || token.is('-');
}

Number parse_number(Lexer& lexer) {
  const bool is_negative = lexer.accept('-');
  if (lexer.peek().kind != TokenKind::kNumber) lexer.unexpected("a number");
  const std::optional<Number> number = decode_unsigned_literal(lexer.peek().text);
  if (!number) lexer.fail("malformed number '" + std::string(lexer.peek().text) + "'");
  lexer.next();
  return is_negative ? negate(*number) : *number;
}

int64_t parse_integer(Lexer& lexer) {
  const int line = lexer.peek().line;
  const Number number = parse_number(lexer);
  if (number.literal != Literal::kInteger && number.literal != Literal::kUnsigned) {
    throw ParseError{line, "expected an integer, found a float"};
  }
  return number.value;
}

}  // namespace emulator::ptx
