#include "execute/program_builder.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "memory/shared_memory.h"

namespace emulator {
namespace {

constexpr int64_t kRegisterAlignment = 64;  // a cache line, and the widest vector
constexpr int64_t kVariableGap = 16;        // between variables: an overrun hits nobody's bytes

int64_t align_up(int64_t value, int64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

template <typename F>
void for_each_symbol(const ptx::Operand& operand, F&& f) {
  if (!operand.symbol.empty()) f(operand.symbol);
  for (const ptx::Operand& element : operand.elements) for_each_symbol(element, f);
}

}  // namespace

int register_bytes(ptx::Type type) {
  const int bits = ptx::bits_of(type);
  return bits <= 32 ? 4 : bits / 8;
}

CallOperands call_operands(const ptx::Instruction& call) {
  CallOperands result;
  size_t next = 0;
  const auto take_list = [&]() -> const ptx::Operand* {
    const bool is_list =
        next < call.operands.size() && call.operands[next].kind == ptx::OperandKind::kVector;
    return is_list ? &call.operands[next++] : nullptr;
  };
  result.results = take_list();
  if (next < call.operands.size()) result.callee = &call.operands[next++];
  result.arguments = take_list();
  return result;
}

uint64_t function_address(const ptx::Module& module, std::string_view name) {
  // A window that no data can lie in; 16 apart, as pointers to functions are aligned.
  constexpr uint64_t kFunctionWindow = 0x0400'0000'0000'0000;
  constexpr uint64_t kSpacing = 16;
  const ptx::Function* function = module.find(name);
  for (size_t i = 0; function != nullptr && i < module.functions.size(); ++i) {
    if (module.functions[i].get() == function) return kFunctionWindow + i * kSpacing;
  }
  return 0;
}

ProgramBuilder::ProgramBuilder(const ptx::Module& module, const ptx::Function& kernel,
                               const SymbolTable& symbols)
    : module_(module), symbols_(symbols), program_(std::make_unique<Program>()) {
  program_->module = &module;
  program_->kernel = &kernel;
  collect_functions(kernel);
  variables_.resize(program_->functions.size());
  place_parameters(kernel);
  place_referenced_shared();
  for (size_t i = 0; i < program_->functions.size(); ++i) {
    place_variables(static_cast<int>(i));
    place_registers(static_cast<int>(i));
  }
}

int32_t ProgramBuilder::allocate_register(int bytes_per_lane) {
  const int64_t offset = align_up(program_->register_bytes, kRegisterAlignment);
  program_->register_bytes = static_cast<int32_t>(offset + int64_t{bytes_per_lane} * kWarpLanes);
  return static_cast<int32_t>(offset);
}

int32_t ProgramBuilder::allocate_predicate() {
  const int32_t offset = program_->register_bytes;
  program_->register_bytes += sizeof(LaneMask);
  return offset;
}

int32_t ProgramBuilder::constant(uint64_t value, int bytes_per_lane) {
  const auto [slot, is_new] = constants_.try_emplace({value, bytes_per_lane}, 0);
  if (is_new) {
    slot->second = allocate_register(bytes_per_lane);
    program_->constants.push_back({slot->second, bytes_per_lane, {value, 0}});
  }
  return slot->second;
}

int32_t ProgramBuilder::special(Special special, int bytes_per_lane) {
  const auto [slot, is_new] = specials_.try_emplace({special, bytes_per_lane}, 0);
  if (is_new) {
    slot->second = allocate_register(bytes_per_lane);
    program_->specials.push_back({slot->second, bytes_per_lane, special});
  }
  return slot->second;
}

int ProgramBuilder::index_of(const ptx::Function* function) const {
  const auto found = functions_.find(function);
  return found == functions_.end() ? -1 : found->second;
}

Location ProgramBuilder::locate(int function, const std::string& name) const {
  const auto& own = variables_[function];
  if (const auto found = own.find(name); found != own.end()) return found->second;
  if (const auto found = shared_.find(name); found != shared_.end()) return found->second;
  if (const uint64_t code = function_address(module_, name); code != 0) {
    return {ptx::Space::kGeneric, code};
  }
  const auto variable = std::ranges::find(module_.variables, name, &ptx::Variable::name);
  if (variable == module_.variables.end()) throw std::out_of_range(name);
  return {variable->space, symbols_.address_of(name)};
}

// The kernel, then whatever a call may reach. A call through a pointer may reach any function.
void ProgramBuilder::collect_functions(const ptx::Function& kernel) {
  std::vector<const ptx::Function*> pending{&kernel};
  const auto add = [&](const ptx::Function* function) {
    if (function != nullptr && function->has_body) pending.push_back(function);
  };
  while (!pending.empty()) {
    const ptx::Function* function = pending.back();
    pending.pop_back();
    if (!functions_.emplace(function, static_cast<int>(program_->functions.size())).second)
      continue;
    FunctionCode& code = program_->functions.emplace_back();
    code.function = function;
    code.address = function_address(module_, function->name);
    for (const ptx::Instruction& instruction : function->instructions) {
      if (instruction.opcode != "call") continue;
      const ptx::Operand* callee = call_operands(instruction).callee;
      if (callee != nullptr && callee->kind == ptx::OperandKind::kSymbol) {
        add(module_.find(callee->symbol));
      } else {
        for (const auto& other : module_.functions) {
          if (!other->is_entry) add(other.get());
        }
      }
    }
  }
}

Location ProgramBuilder::place_shared(const ptx::Variable& variable) {
  const int64_t address = align_up(program_->static_shared_bytes, std::max(variable.alignment, 1));
  program_->shared.push_back({&variable, static_cast<uint64_t>(address)});
  program_->static_shared_bytes = address + variable.bytes + kVariableGap;
  program_->declared_shared_bytes =
      align_up(program_->declared_shared_bytes, std::max(variable.alignment, 1)) + variable.bytes;
  return {ptx::Space::kShared, static_cast<uint64_t>(address)};
}

// Shared variables of the module take room only in the kernels that name them.
void ProgramBuilder::place_referenced_shared() {
  std::set<std::string, std::less<>> referenced;
  for (size_t i = 0; i < program_->functions.size(); ++i) {
    const ptx::Function& function = *program_->functions[i].function;
    for (const ptx::Variable& variable : function.variables) {
      if (variable.space != ptx::Space::kShared || variable.is_extern) continue;
      variables_[i][variable.name] = place_shared(variable);
    }
    for (const ptx::Instruction& instruction : function.instructions) {
      for (const ptx::Operand& operand : instruction.operands) {
        for_each_symbol(operand, [&](const std::string& symbol) { referenced.insert(symbol); });
      }
    }
  }
  std::vector<const ptx::Variable*> dynamic;
  for (const ptx::Variable& variable : module_.variables) {
    if (variable.space != ptx::Space::kShared || !referenced.contains(variable.name)) continue;
    if (variable.is_extern) {
      dynamic.push_back(&variable);
    } else {
      shared_[variable.name] = place_shared(variable);
    }
  }
  // Known only now: all unsized arrays begin where the static variables end.
  const uint64_t start = static_cast<uint64_t>(dynamic_shared_offset(*program_));
  for (const ptx::Variable* variable : dynamic) {
    shared_[variable->name] = {ptx::Space::kShared, start};
  }
}

void ProgramBuilder::place_parameters(const ptx::Function& kernel) {
  for (const ptx::Variable& parameter : kernel.parameters) {
    const int64_t address = align_up(program_->parameter_bytes, parameter.alignment);
    program_->parameters.push_back({&parameter, static_cast<uint64_t>(address)});
    program_->parameter_bytes = address + parameter.bytes;
  }
}

// Local variables, and the parameters of functions and of calls, which are a thread's own too.
void ProgramBuilder::place_variables(int function) {
  FunctionCode& code = program_->functions[function];
  std::unordered_map<std::string, Location>& names = variables_[function];
  const auto place_local = [&](const ptx::Variable& variable) {
    const int64_t address = align_up(program_->local_bytes, std::max(variable.alignment, 1));
    program_->local.push_back({&variable, static_cast<uint64_t>(address)});
    program_->local_bytes = address + variable.bytes + kVariableGap;
    names[variable.name] = {ptx::Space::kLocal, static_cast<uint64_t>(address)};
    return Range{address, variable.bytes};
  };
  code.local.offset = program_->local_bytes;
  if (code.function->is_entry) {
    for (const Placement& placement : program_->parameters) {
      names[placement.variable->name] = {ptx::Space::kParam, placement.address};
    }
  } else {
    for (const ptx::Variable& variable : code.function->parameters) {
      code.parameters.push_back(place_local(variable));
    }
    for (const ptx::Variable& variable : code.function->results) {
      code.results.push_back(place_local(variable));
    }
  }
  for (const ptx::Variable& variable : code.function->variables) {
    if (variable.space == ptx::Space::kShared) continue;
    code.has_local_variables |= variable.space == ptx::Space::kLocal;
    place_local(variable);
  }
  code.local.bytes = program_->local_bytes - code.local.offset;
}

void ProgramBuilder::place_registers(int function) {
  FunctionCode& code = program_->functions[function];
  const std::vector<ptx::Register>& registers = code.function->registers;
  std::vector<int32_t>& offsets = registers_.emplace_back(registers.size());
  const auto place = [&](int width, int32_t& count) {
    for (size_t i = 0; i < registers.size(); ++i) {
      const bool is_predicate = registers[i].type == ptx::Type::kPred;
      if (is_predicate || register_bytes(registers[i].type) != width) continue;
      offsets[i] = allocate_register(width);
      ++count;
    }
  };
  code.registers = static_cast<int32_t>(align_up(program_->register_bytes, kRegisterAlignment));
  program_->register_bytes = code.registers;
  place(4, code.num_32);
  place(8, code.num_64);
  place(16, code.num_128);
  for (size_t i = 0; i < registers.size(); ++i) {
    if (registers[i].type != ptx::Type::kPred) continue;
    offsets[i] = allocate_predicate();
    ++code.num_predicates;
  }
}

}  // namespace emulator
