// What the names in a function body mean. A brace opens a scope; what is declared in it hides outer
// names and is forgotten at its end.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ptx/module.h"

namespace emulator::ptx {

class Scopes {
 public:
  // The outermost scope is opened at once.
  explicit Scopes(Function& function) : function_(function), scopes_(1) {}

  void open();
  void close() { scopes_.pop_back(); }
  bool is_outermost() const { return scopes_.size() == 1; }

  // Registers `name`, or for a range such as %r<12> `name`0 to `name`11. False where the name is
  // taken in this scope.
  bool declare_register(std::string_view name, Type type);
  bool declare_registers(std::string_view prefix, int count, Type type);

  // Returns the name by which a variable or label of this scope is known in the function: itself
  // outermost, else made unique. Empty where the name is taken in this scope.
  std::string declare_symbol(std::string_view name);

  int find_register(std::string_view name) const;  // -1 where there is none

  // The unique name of a variable or label; `name` itself where no scope declares it (it is the
  // module's, or a label of the outermost scope that is still to come).
  std::string find_symbol(std::string_view name) const;

 private:
  struct Range {
    std::string_view prefix;
    int first;
    int count;
  };
  struct Name {
    int reg = -1;        // a register; else
    std::string symbol;  // a variable or label
  };
  struct Scope {
    int id = 0;
    std::vector<Range> ranges;
    std::unordered_map<std::string_view, Name> names;
  };

  Function& function_;
  std::vector<Scope> scopes_;
  int num_scopes_ = 0;
};

}  // namespace emulator::ptx
