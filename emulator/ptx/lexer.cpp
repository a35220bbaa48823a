#include "ptx/lexer.h"

#include <array>
#include <cstring>

namespace emulator::ptx {
namespace {

enum CharClass : uint8_t { kOther = 0, kLetter = 1, kDigit = 2, kBlank = 4 };

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (int c = 'a'; c <= 'z'; ++c) classes[c] = kLetter;
  for (int c = 'A'; c <= 'Z'; ++c) classes[c] = kLetter;
  for (int c = '0'; c <= '9'; ++c) classes[c] = kDigit;
  for (char c : {'_', '$', '%'}) classes[static_cast<uint8_t>(c)] = kLetter;
  for (char c : {' ', '\t', '\r', '\n', '\f', '\v', '\0'})
    classes[static_cast<uint8_t>(c)] = kBlank;
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = make_classes();

bool is_in(char c, int classes) {
  return (kClasses[static_cast<uint8_t>(c)] & classes) != 0;
}

}  // namespace

Lexer::Lexer(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {
  advance();
}

void Lexer::expect(char punctuation) {
  if (!accept(punctuation)) unexpected(std::string("'") + punctuation + "'");
}

Token Lexer::expect(TokenKind kind, std::string_view what) {
  if (token_.kind != kind) unexpected(what);
  return next();
}

void Lexer::fail(const std::string& message) const {
  throw ParseError{token_.line, message};
}

void Lexer::unexpected(std::string_view wanted) const {
  const std::string found = token_.kind == TokenKind::kEnd ? std::string("the end of the text")
                                                           : "'" + std::string(token_.text) + "'";
  fail("expected " + std::string(wanted) + ", found " + found);
}

void Lexer::skip_blank() {
  while (at_ < end_) {
    if (*at_ == '\n') {
      ++line_;
      ++at_;
    } else if (is_in(*at_, kBlank)) {
      ++at_;
    } else if (*at_ == '/' && at_ + 1 < end_ && at_[1] == '/') {
      const void* newline = std::memchr(at_, '\n', end_ - at_);
      at_ = newline ? static_cast<const char*>(newline) : end_;
    } else if (*at_ == '/' && at_ + 1 < end_ && at_[1] == '*') {
      at_ += 2;
      while (at_ + 1 < end_ && !(at_[0] == '*' && at_[1] == '/')) line_ += *at_++ == '\n';
      if (at_ + 1 >= end_) throw ParseError{line_, "comment without end"};
      at_ += 2;
    } else {
      return;
    }
  }
}

const char* Lexer::end_of_dot_word() const {
  const char* p = at_ + 1;
  while (p < end_) {
    if (is_in(*p, kLetter | kDigit)) {
      ++p;
    } else if (*p == ':' && p + 2 < end_ && p[1] == ':' && is_in(p[2], kLetter | kDigit)) {
      p += 2;  // a qualified modifier such as .shared::cta
    } else {
      break;
    }
  }
  return p;
}

const char* Lexer::end_of_number() const {
  const char* p = at_;
  bool is_decimal = true;
  while (p < end_) {
    if (is_in(*p, kDigit) || *p == '.') {
      ++p;
    } else if (is_in(*p, kLetter)) {
      const bool is_exponent = is_decimal && (*p == 'e' || *p == 'E');
      is_decimal = false;
      ++p;
      if (is_exponent && p < end_ && (*p == '+' || *p == '-')) ++p;
    } else {
      break;
    }
  }
  return p;
}

void Lexer::take(TokenKind kind, const char* end) {
  token_ = {kind, std::string_view(at_, end - at_), line_};
  at_ = end;
}

void Lexer::advance() {
  skip_blank();
  if (at_ >= end_) {
    token_ = {TokenKind::kEnd, {}, line_};
    return;
  }
  if (is_in(*at_, kLetter)) {
    const char* p = at_ + 1;
    while (p < end_ && is_in(*p, kLetter | kDigit)) ++p;
    take(TokenKind::kWord, p);
  } else if (is_in(*at_, kDigit)) {
    take(TokenKind::kNumber, end_of_number());
  } else if (*at_ == '.' && at_ + 1 < end_ && is_in(at_[1], kLetter | kDigit)) {
    take(TokenKind::kDotWord, end_of_dot_word());
  } else if (*at_ == '"') {
    const void* quote = std::memchr(at_ + 1, '"', end_ - at_ - 1);
    if (!quote) throw ParseError{line_, "string without end"};
    ++at_;
    take(TokenKind::kString, static_cast<const char*>(quote));
    ++at_;
  } else {
    take(TokenKind::kPunctuation, at_ + 1);
  }
}

}  // namespace emulator::ptx
