#include "ptx/scope.h"

#include <charconv>

namespace emulator::ptx {
namespace {

struct Numbered {
  std::string_view prefix;
  int number = -1;  // -1 where the name ends in no number, or in one with leading zeros
};

Numbered split_number(std::string_view name) {
  size_t digits = name.size();
  while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
  Numbered result{name.substr(0, digits), -1};
  const std::string_view number = name.substr(digits);
  if (number.empty() || (number[0] == '0' && number.size() > 1)) return result;
  std::from_chars(number.data(), number.data() + number.size(), result.number);
  return result;
}

}  // namespace

void Scopes::open() {
  scopes_.emplace_back().id = ++num_scopes_;
}

bool Scopes::declare_register(std::string_view name, Type type) {
  const int index = static_cast<int>(function_.registers.size());
  if (!scopes_.back().names.try_emplace(name, Name{index, {}}).second) return false;
  function_.registers.push_back({std::string(name), type});
  return true;
}

bool Scopes::declare_registers(std::string_view prefix, int count, Type type) {
  Scope& scope = scopes_.back();
  for (const Range& range : scope.ranges) {
    if (range.prefix == prefix) return false;
  }
  scope.ranges.push_back({prefix, static_cast<int>(function_.registers.size()), count});
  for (int i = 0; i < count; ++i) {
    function_.registers.push_back({std::string(prefix) + std::to_string(i), type});
  }
  return true;
}

std::string Scopes::declare_symbol(std::string_view name) {
  Scope& scope = scopes_.back();
  std::string unique(name);
  // No PTX identifier holds an '@', so this name cannot be another's.
  if (!is_outermost()) unique += "@" + std::to_string(scope.id);
  return scope.names.try_emplace(name, Name{-1, unique}).second ? unique : std::string();
}

int Scopes::find_register(std::string_view name) const {
  const Numbered numbered = split_number(name);
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (!scope->names.empty()) {
      const auto found = scope->names.find(name);
      if (found != scope->names.end()) return found->second.reg;
    }
    if (numbered.number < 0) continue;
    for (const Range& range : scope->ranges) {
      if (numbered.number < range.count && range.prefix == numbered.prefix) {
        return range.first + numbered.number;
      }
    }
  }
  return -1;
}

std::string Scopes::find_symbol(std::string_view name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->names.find(name);
    if (found != scope->names.end() && found->second.reg < 0) return found->second.symbol;
  }
  return std::string(name);
}

}  // namespace emulator::ptx
