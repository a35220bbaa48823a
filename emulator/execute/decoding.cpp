#include "execute/decoding.h"

#include <algorithm>

namespace emulator {
namespace {

// What a lane of a register takes; predicates share one mask.
int slot_bits(ptx::Type type) {
  constexpr int kSmallestSlot = 32;
  return type == ptx::Type::kPred ? 1 : std::max(ptx::bits_of(type), kSmallestSlot);
}

}  // namespace

Decoding::Decoding(const ptx::Instruction& instruction_, DecodeContext& context_, Op& op_,
                   std::vector<int32_t>& operands)
    : instruction(instruction_),
      context(context_),
      op(op_),
      operands_(operands),
      taken_(instruction_.modifiers.size()) {}

bool Decoding::take(std::string_view modifier) {
  for (size_t i = 0; i < taken_.size(); ++i) {
    if (!taken_[i] && instruction.modifiers[i] == modifier) {
      taken_[i] = true;
      return true;
    }
  }
  return false;
}

ptx::Type Decoding::take_type() {
  for (size_t i = 0; i < taken_.size(); ++i) {
    if (taken_[i]) continue;
    const ptx::Type type = ptx::type_named(instruction.modifiers[i]);
    if (type == ptx::Type::kNone) refuse("unknown modifier ." + instruction.modifiers[i]);
    taken_[i] = true;
    return type;
  }
  refuse("lacks a type");
}

ptx::Type Decoding::last_type() const {
  const auto& modifiers = instruction.modifiers;
  return modifiers.empty() ? ptx::Type::kNone : ptx::type_named(modifiers.back());
}

const ptx::Operand& Decoding::next() {
  if (!has_next()) refuse("lacks an operand");
  return instruction.operands[next_operand_++];
}

void Decoding::define(ptx::Type type) {
  const ptx::Operand& operand = next();
  check_width(operand, type);
  append(context.define(operand, type));
}

void Decoding::use(ptx::Type type) {
  const ptx::Operand& operand = next();
  check_width(operand, type);
  append(context.use(operand, type));
}

void Decoding::check_width(const ptx::Operand& operand, ptx::Type type) const {
  if (operand.kind != ptx::OperandKind::kRegister) return;
  if (slot_bits(context.register_type(operand)) != slot_bits(type)) {
    refuse("a register of another width than the type");
  }
}

bool Decoding::define_pair(ptx::Type type) {
  const ptx::Operand& pair = next();
  check_width(pair, type);
  append(context.define(pair, type));
  ptx::Operand second;
  if (pair.second >= 0) {
    second.kind = ptx::OperandKind::kRegister;
    second.reg = pair.second;
  }
  append(context.define(second, ptx::Type::kPred));
  return pair.second >= 0;
}

bool Decoding::use_predicate() {
  const ptx::Operand& operand = next();
  check_width(operand, ptx::Type::kPred);
  append(context.use(operand, ptx::Type::kPred));
  return operand.negated;
}

int64_t Decoding::constant() {
  const ptx::Operand& operand = next();
  if (operand.kind != ptx::OperandKind::kImmediate) refuse("an operand must be a constant");
  return operand.value;
}

void Decoding::use_sync_mask() {
  use(ptx::Type::kB32);
  op.sync_mask = operands_.back();
}

void Decoding::bind(Handler handler, ptx::Type destination,
                    std::initializer_list<ptx::Type> sources) {
  set_handler(handler);
  if (handler == nullptr) return;
  define(destination);
  for (const ptx::Type type : sources) use(type);
}

void Decoding::refuse(const std::string& why) const {
  context.refuse(why);
  __builtin_unreachable();  // GCC forgets that a virtual function is noreturn
}

void Decoding::finish() {
  for (size_t i = 0; i < taken_.size(); ++i) {
    if (!taken_[i]) refuse("unknown modifier ." + instruction.modifiers[i]);
  }
  if (op.handler == nullptr) refuse("no such combination of modifiers");
  if (has_next()) refuse("has more operands than expected");
}

}  // namespace emulator
