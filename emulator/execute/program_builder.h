// Gives everything that a Program names its place: registers, constants, variables, functions.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "execute/decoder.h"
#include "execute/program.h"

namespace emulator {

// A variable as an operand names it.
struct Location {
  ptx::Space space = ptx::Space::kGlobal;  // where it lies: parameters of a .func are kLocal
  uint64_t address = 0;                    // within that space
};

// What a lane of a register takes; a predicate is one mask for all lanes.
int register_bytes(ptx::Type type);

class ProgramBuilder {
 public:
  ProgramBuilder(const ptx::Module& module, const ptx::Function& kernel,
                 const SymbolTable& symbols);

  Program& program() { return *program_; }
  std::unique_ptr<Program> take() { return std::move(program_); }
  const ptx::Module& module() const { return module_; }

  // A range of a warp's registers: `bytes_per_lane` for each lane.
  int32_t allocate_register(int bytes_per_lane);
  int32_t allocate_predicate();
  int32_t constant(uint64_t value, int bytes_per_lane);
  int32_t special(Special special, int bytes_per_lane);

  int index_of(const ptx::Function* function) const;  // of Program::functions; -1: not reached
  // Where `function` finds register `reg`.
  int32_t register_offset(int function, int reg) const { return registers_[function][reg]; }
  // What `name` means in `function`; throws std::out_of_range where it is no variable.
  Location locate(int function, const std::string& name) const;

 private:
  void collect_functions(const ptx::Function& kernel);
  Location place_shared(const ptx::Variable& variable);
  void place_referenced_shared();
  void place_variables(int function);
  void place_parameters(const ptx::Function& kernel);
  void place_registers(int function);

  const ptx::Module& module_;
  const SymbolTable& symbols_;
  std::unique_ptr<Program> program_;
  std::unordered_map<const ptx::Function*, int> functions_;
  std::vector<std::unordered_map<std::string, Location>> variables_;  // of each function
  std::unordered_map<std::string, Location> shared_;                  // of the module
  std::vector<std::vector<int32_t>> registers_;                       // of each function
  std::map<std::pair<uint64_t, int>, int32_t> constants_;
  std::map<std::pair<Special, int>, int32_t> specials_;
};

// The callee of a `call` and its lists of arguments and results, which a call without them omits.
struct CallOperands {
  const ptx::Operand* results = nullptr;
  const ptx::Operand* callee = nullptr;
  const ptx::Operand* arguments = nullptr;
};
CallOperands call_operands(const ptx::Instruction& call);

}  // namespace emulator
