// Checks for test programs: a failed one is printed with its place and counted, and the program
// goes on. A test's main() calls its cases and ends with `return emulator::test::summary();`.
#pragma once

#include <concepts>
#include <iostream>
#include <utility>

namespace emulator::test {

inline int num_checks = 0;
inline int num_failures = 0;

inline std::ostream& report_failure(const char* file, int line) {
  ++num_failures;
  return std::cerr << file << ':' << line << ": failed: ";
}

template <typename T>
void print(std::ostream& out, const T& value) {
  if constexpr (std::integral<T> && sizeof(T) == 1) {
    out << static_cast<int>(value);
  } else if constexpr (requires { out << value; }) {
    out << value;
  } else {
    out << "(unprintable)";
  }
}

template <typename A, typename B>
bool equal(const A& a, const B& b) {
  // Literals are ints; what they are compared with is often unsigned.
  if constexpr (std::integral<A> && std::integral<B> && !std::same_as<A, bool> &&
                !std::same_as<B, bool> && !std::same_as<A, char> && !std::same_as<B, char>) {
    return std::cmp_equal(a, b);
  } else {
    return a == b;
  }
}

template <typename A, typename B>
void check_equal(const A& a, const B& b, const char* text, const char* file, int line) {
  ++num_checks;
  if (equal(a, b)) return;
  std::ostream& out = report_failure(file, line);
  out << text << ": ";
  print(out, a);
  out << " != ";
  print(out, b);
  out << '\n';
}

inline void check(bool condition, const char* text, const char* file, int line) {
  ++num_checks;
  if (!condition) report_failure(file, line) << text << '\n';
}

inline int summary() {
  std::cerr << num_checks - num_failures << " of " << num_checks << " checks passed\n";
  return num_failures == 0 && num_checks > 0 ? 0 : 1;
}

}  // namespace emulator::test

#define CHECK(condition) \
  ::emulator::test::check(static_cast<bool>(condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(a, b) ::emulator::test::check_equal((a), (b), #a " == " #b, __FILE__, __LINE__)

// The expression must throw an `Exception` for which `predicate(exception)` holds.
#define CHECK_THROWS(expression, Exception, predicate)                                      \
  do {                                                                                      \
    bool thrown = false;                                                                    \
    try {                                                                                   \
      static_cast<void>(expression);                                                        \
    } catch (const Exception& exception) {                                                  \
      thrown = predicate(exception);                                                        \
    }                                                                                       \
    ::emulator::test::check(thrown, #expression " throws " #Exception, __FILE__, __LINE__); \
  } while (false)
