// Just enough JSON to write counters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace emulator {

inline std::string json_string(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20) {
      quoted += "\\u00";
      quoted += kHex[byte >> 4];
      quoted += kHex[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

// Writes one object or array, with the commas where they belong.
class JsonWriter {
 public:
  void open(char bracket) {
    separate();
    text_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    text_ += bracket;
    first_ = false;
  }
  void key(std::string_view name) {
    separate();
    text_ += json_string(name) + ": ";
    after_key_ = true;
  }
  void value(std::string_view text) { raw(json_string(text)); }
  void value(uint64_t number) { raw(std::to_string(number)); }
  void value(double number) { raw(std::to_string(number)); }
  template <typename T>
  void member(std::string_view name, const T& v) {
    key(name);
    value(v);
  }
  const std::string& text() const { return text_; }

 private:
  void raw(const std::string& text) {
    separate();
    text_ += text;
  }
  void separate() {
    if (!after_key_ && !first_) text_ += ", ";
    first_ = false;
    after_key_ = false;
  }
  std::string text_;
  bool first_ = true;
  bool after_key_ = false;
};

}  // namespace emulator
