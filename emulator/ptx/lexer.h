// Splits PTX text into tokens. Nothing is copied: a token's text is a view of the module's text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ptx/module.h"

namespace emulator::ptx {

enum class TokenKind : uint8_t {
  kEnd,
  kWord,         // an identifier: add, %r12, $L__BB0_3
  kDotWord,      // a modifier or directive with its dot: .global, .sp::ordered_metadata
  kNumber,       // any numeric literal, undecoded and unsigned
  kString,       // text without its quotes
  kPunctuation,  // a single character
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;
  int line = 1;

  bool is(char punctuation) const {
    return kind == TokenKind::kPunctuation && text[0] == punctuation;
  }
  bool is(std::string_view word) const {
    return (kind == TokenKind::kWord || kind == TokenKind::kDotWord) && text == word;
  }
};

// One token of lookahead. A copy is a second reader at the same place.
class Lexer {
 public:
  explicit Lexer(std::string_view text);

  const Token& peek() const { return token_; }
  Token next() {
    const Token result = token_;
    advance();
    return result;
  }

  // Consumes the next token if it is the one named.
  bool accept(char punctuation) { return token_.is(punctuation) && (advance(), true); }
  bool accept(std::string_view word) { return token_.is(word) && (advance(), true); }

  // Consumes the next token, which must be the one named.
  void expect(char punctuation);
  Token expect(TokenKind kind, std::string_view what);

  // Throws ParseError at the next token.
  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void unexpected(std::string_view wanted) const;

 private:
  void advance();
  void skip_blank();
  void take(TokenKind kind, const char* end);
  const char* end_of_dot_word() const;
  const char* end_of_number() const;

  const char* at_;
  const char* end_;
  int line_ = 1;
  Token token_;
};

}  // namespace emulator::ptx
