#include "execute/function_decoder.h"

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

#include "execute/builtin_calls.h"
#include "execute/control_ops.h"
#include "execute/literals.h"
#include "execute/plant.h"
#include "execute/post_dominators.h"
#include "execute/special_registers.h"
#include "memory/global_memory.h"

namespace emulator {
namespace {

const std::unordered_map<std::string_view, Decoder>& decoders() {
  static const auto* table = [] {
    auto* all = new std::unordered_map<std::string_view, Decoder>;
    for (const auto& family :
         {integer_decoders(), float_decoders(), convert_decoders(), warp_decoders(),
          matrix_decoders(), memory_decoders(), control_decoders()}) {
      for (const DecoderEntry& entry : family) {
        if (!all->emplace(entry.opcode, entry.decode).second) {
          throw std::logic_error("two decoders of " + std::string(entry.opcode));
        }
      }
    }
    return all;
  }();
  return *table;
}

Decoder decoder_of(const ptx::Instruction& instruction) {
  const auto& operands = instruction.operands;
  if (instruction.opcode == "mov" && operands.size() == 2 &&
      operands[1].kind == ptx::OperandKind::kSpecial) {
    if (const Decoder clock = clock_decoder(operands[1].symbol)) return clock;
  }
  const auto found = decoders().find(instruction.opcode);
  return found == decoders().end() ? nullptr : found->second;
}

uint64_t generic_window(ptx::Space space) {
  switch (space) {
    case ptx::Space::kShared:
      return kSharedWindow;
    case ptx::Space::kLocal:
      return kLocalWindow;
    case ptx::Space::kParam:
      return kParamWindow;
    default:
      return 0;  // global and constant addresses are generic ones
  }
}

}  // namespace

UnknownInstruction::UnknownInstruction(const ptx::Function& function_,
                                       const ptx::Instruction& instruction_, const std::string& why)
    : std::runtime_error(instruction_.text + ": " + why),
      function(&function_),
      instruction(&instruction_) {}

FunctionDecoder::FunctionDecoder(ProgramBuilder& builder, int index)
    : builder_(builder), index_(index), function_(*builder.program().functions[index].function) {}

void FunctionDecoder::refuse(const std::string& why) const {
  throw UnknownInstruction(function_, *current_, why);
}

Location FunctionDecoder::locate(const std::string& name) const {
  try {
    return builder_.locate(index_, name);
  } catch (const std::out_of_range&) {
    refuse("unknown symbol " + name);
  }
}

int32_t FunctionDecoder::use(const ptx::Operand& operand, ptx::Type type) {
  const int bytes = register_bytes(type);
  switch (operand.kind) {
    case ptx::OperandKind::kRegister:
      return builder_.register_offset(index_, operand.reg);
    case ptx::OperandKind::kImmediate: {
      const auto bits = literal_bits(operand, type);
      if (!bits) refuse("this immediate has no meaning in an operand of this type");
      return builder_.constant(*bits, bytes);
    }
    case ptx::OperandKind::kSymbol:
      return builder_.constant(locate(operand.symbol).address + operand.value, bytes);
    case ptx::OperandKind::kSpecial:
      if (const auto special = special_named(operand.symbol)) {
        return builder_.special(*special, bytes);
      }
      refuse("unknown special register " + operand.symbol);
    default:
      refuse("an operand that is no value");
  }
}

int32_t FunctionDecoder::define(const ptx::Operand& operand, ptx::Type type) {
  if (operand.kind == ptx::OperandKind::kSink) return scratch(register_bytes(type));
  if (operand.kind != ptx::OperandKind::kRegister) refuse("a destination that is no register");
  return builder_.register_offset(index_, operand.reg);
}

ptx::Type FunctionDecoder::register_type(const ptx::Operand& operand) const {
  if (operand.kind != ptx::OperandKind::kRegister && operand.kind != ptx::OperandKind::kAddress) {
    return ptx::Type::kNone;
  }
  return operand.reg < 0 ? ptx::Type::kNone : function_.registers[operand.reg].type;
}

DecodeContext::Address FunctionDecoder::address(const ptx::Operand& operand, ptx::Space space) {
  if (operand.kind != ptx::OperandKind::kAddress) refuse("an operand that is no address");
  if (operand.reg >= 0) {
    const int bits = ptx::bits_of(function_.registers[operand.reg].type);
    if (bits != 32 && bits != 64) refuse("an address of neither 32 nor 64 bits");
    return {builder_.register_offset(index_, operand.reg), bits, operand.value, space};
  }
  constexpr int kAddressBytes = 8;
  if (operand.symbol.empty())
    return {builder_.constant(0, kAddressBytes), 64, operand.value, space};
  const Location location = locate(operand.symbol);
  Address result{0, 64, operand.value, space};
  uint64_t base = location.address;
  if (space == ptx::Space::kParam) {
    result.is_local_param = location.space == ptx::Space::kLocal;
  } else if (space == ptx::Space::kGeneric) {
    base += generic_window(location.space);
  } else if (space != location.space) {
    refuse(operand.symbol + " lies in another state space");
  }
  result.base = builder_.constant(base, kAddressBytes);
  return result;
}

const void* FunctionDecoder::keep(std::shared_ptr<const void> object) {
  return builder_.program().extras.emplace_back(std::move(object)).get();
}

void FunctionDecoder::decode_body() {
  std::vector<Op>& ops = builder_.program().ops;
  const int first = static_cast<int>(ops.size());
  builder_.program().functions[index_].entry = first;
  for (const ptx::Instruction& instruction : function_.instructions) {
    decode_instruction(instruction);
  }
  append_return();
  link_control(first);
}

void FunctionDecoder::decode_instruction(const ptx::Instruction& instruction) {
  current_ = &instruction;
  const Decoder decode = decoder_of(instruction);
  if (decode == nullptr) refuse("unknown instruction");
  Op op;
  op.source = &instruction;
  op.function = &function_;
  op.aligned = instruction.has("aligned");
  if (instruction.guard >= 0) {
    op.guard = builder_.register_offset(index_, instruction.guard);
    op.guard_negated = instruction.guard_negated;
  }
  std::vector<int32_t> operands;
  decode(instruction, *this, op, operands);
  if (op.control == Control::kNone && (op.aligned || op.sync_mask >= 0)) {
    op.control = Control::kSync;
  }
  Program& program = builder_.program();
  auto& pool = program.operand_pool.emplace_back(std::make_unique<int32_t[]>(operands.size()));
  std::ranges::copy(operands, pool.get());
  op.operands = pool.get();
  op.num_operands = static_cast<uint16_t>(operands.size());
  op.id = static_cast<int32_t>(program.ops.size());
  if (const Plant error = planted_in(instruction); error != Plant::kNone) {
    plant(error, instruction, *this, op);
  }
  program.ops.push_back(op);
}

void FunctionDecoder::append_return() {
  Op op;
  op.control = Control::kReturn;
  op.function = &function_;
  op.source = function_.instructions.empty() ? nullptr : &function_.instructions.back();
  op.id = static_cast<int32_t>(builder_.program().ops.size());
  builder_.program().ops.push_back(op);
}

void FunctionDecoder::link_control(int first) {
  std::vector<Op>& ops = builder_.program().ops;
  for (size_t i = first; i + 1 < ops.size(); ++i) {
    current_ = ops[i].source;
    if (ops[i].control == Control::kCall) link_call(ops[i]);
    if (ops[i].control == Control::kBranch || ops[i].control == Control::kBranchIndexed) {
      link_targets(ops[i]);
    }
  }
  find_reconvergence(first);
}

int FunctionDecoder::label(const std::string& name) const {
  const auto found = function_.labels.find(name);
  if (found == function_.labels.end()) refuse("unknown label " + name);
  return builder_.program().functions[index_].entry + found->second;
}

void FunctionDecoder::link_targets(Op& op) {
  const std::vector<ptx::Operand>& operands = op.source->operands;
  if (op.control == Control::kBranch) {
    if (operands.size() != 1) refuse("a branch with one target was expected");
    op.target = label(operands[0].symbol);
    return;
  }
  const auto found = operands.size() == 2 ? function_.branch_targets.find(operands[1].symbol)
                                          : function_.branch_targets.end();
  if (found == function_.branch_targets.end()) refuse("unknown list of branch targets");
  auto targets = std::make_shared<BranchTargets>();
  for (const std::string& name : found->second) targets->push_back(label(name));
  op.extra = keep(targets);
}

Range FunctionDecoder::call_variable(const ptx::Operand& operand) const {
  const auto& variables = function_.variables;
  const auto found = std::ranges::find(variables, operand.symbol, &ptx::Variable::name);
  if (operand.kind != ptx::OperandKind::kSymbol || found == variables.end()) {
    refuse("an argument or result that is no .param variable");
  }
  return {static_cast<int64_t>(locate(operand.symbol).address), found->bytes};
}

void FunctionDecoder::link_call(Op& op) {
  const CallOperands operands = call_operands(*op.source);
  auto site = std::make_shared<CallSite>();
  site->caller = index_;
  if (operands.callee->kind == ptx::OperandKind::kSymbol) {
    const std::string& name = operands.callee->symbol;
    site->callee = builder_.index_of(builder_.module().find(name));
    if (site->callee < 0) site->builtin = builtin_named(name);
    if (site->callee < 0 && site->builtin == nullptr) refuse("unknown function " + name);
  }
  const auto append = [&](const ptx::Operand* list, std::vector<Range>& ranges) {
    if (list == nullptr) return;
    for (const ptx::Operand& operand : list->elements) ranges.push_back(call_variable(operand));
  };
  append(operands.arguments, site->arguments);
  append(operands.results, site->results);
  op.extra = keep(site);
}

namespace {

bool leaves(const Op& op) {
  return op.control == Control::kReturn || op.control == Control::kExit ||
         op.control == Control::kTrap;
}

// Where control may go from op `i` of `ops`. Lanes that leave are waited for nowhere, so ways out
// count only where there is no other way to go.
std::vector<int> successors_of(std::span<const Op> ops, int i, int first) {
  const Op& op = ops[i];
  std::vector<int> next;
  if (op.control == Control::kBranch) next.push_back(op.target - first);
  if (op.control == Control::kBranchIndexed) {
    for (const int target : *static_cast<const BranchTargets*>(op.extra)) {
      next.push_back(target - first);
    }
  }
  if (op.guard >= 0 || (next.empty() && !leaves(op))) next.push_back(i + 1);
  if (next.empty()) return {kFunctionEnd};
  const auto leads_out = [&](int node) { return leaves(ops[node]) && ops[node].guard < 0; };
  if (!std::ranges::all_of(next, leads_out)) std::erase_if(next, leads_out);
  return next;
}

}  // namespace

// Where control may go from each instruction decides where the parts of a branch meet.
void FunctionDecoder::find_reconvergence(int first) {
  const std::span<Op> ops = std::span(builder_.program().ops).subspan(first);
  std::vector<std::vector<int>> successors;
  for (size_t i = 0; i < ops.size(); ++i) {
    successors.push_back(successors_of(ops, static_cast<int>(i), first));
  }
  const std::vector<int> dominators = immediate_post_dominators(successors);
  for (size_t i = 0; i < ops.size(); ++i) {
    const int node = dominators[i];
    // Nobody waits only to leave: others could wait for those lanes at a barrier.
    const bool is_end = node == kFunctionEnd || (leaves(ops[node]) && ops[node].guard < 0);
    if (!is_end) ops[i].reconverge = first + node;
  }
}

}  // namespace emulator
