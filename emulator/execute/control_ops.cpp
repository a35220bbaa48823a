// Branches, calls, barriers and what else is not about data.
#include "execute/control_ops.h"

#include "execute/decoder.h"
#include "execute/decoding.h"
#include "execute/program_builder.h"
#include "execute/warp.h"

namespace emulator {
namespace {

using Operands = std::vector<int32_t>;

void no_operation(Warp&, const Op&, LaneMask) {}
void sleep(Warp& warp, const Op&, LaneMask) {
  warp.yield();
}

// Targets of branches and variables of calls become known once the whole function is decoded; until
// then their operands are nobody's to refuse.
template <Control kControl>
void decode_control(const ptx::Instruction&, DecodeContext&, Op& op, Operands&) {
  op.control = kControl;
}

void decode_indexed_branch(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
                           Operands& operands) {
  Decoding decoding(instruction, context, op, operands);
  decoding.require_one<bool>({{"idx", true}});
  op.control = Control::kBranchIndexed;
  decoding.use(ptx::Type::kU32);
}

void decode_call(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
                 Operands& operands) {
  op.control = Control::kCall;
  const ptx::Operand* const callee = call_operands(instruction).callee;
  if (callee != nullptr && callee->kind == ptx::OperandKind::kRegister) {
    operands.push_back(context.use(*callee, ptx::Type::kU64));
  } else if (callee == nullptr || callee->kind != ptx::OperandKind::kSymbol) {
    context.refuse("a call of neither a function nor a register");
  }
}

// One host thread runs a CTA, and its accesses are performed in program order: memory is always as
// a fence would make it.
void decode_fence(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
                  Operands& operands) {
  Decoding decoding(instruction, context, op, operands);
  decoding.take_one<bool>({{"sc", true}, {"acq_rel", true}});
  decoding.require_one<bool>({{"cta", true}, {"gl", true}, {"gpu", true}, {"sys", true}});
  decoding.set_handler(no_operation);
  decoding.finish();
}

void decode_no_operation(const ptx::Instruction&, DecodeContext&, Op& op, Operands&) {
  op.handler = no_operation;
}

void decode_sleep(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
                  Operands& operands) {
  Decoding decoding(instruction, context, op, operands);
  decoding.take("u32");
  decoding.use(ptx::Type::kU32);
  decoding.set_handler(sleep);
  decoding.finish();
}

BarrierKind take_kind(Decoding& decoding) {
  if (decoding.take("sync")) return BarrierKind::kSync;
  if (decoding.take("arrive")) return BarrierKind::kArrive;
  if (!decoding.take("red")) decoding.refuse("an unknown form of barrier");
  return decoding.require_one<BarrierKind>(
      {{"popc", BarrierKind::kPopc}, {"and", BarrierKind::kAnd}, {"or", BarrierKind::kOr}});
}

void decode_warp_barrier(Decoding& decoding) {
  if (!decoding.take("sync")) decoding.refuse("lacks .sync");
  decoding.use_sync_mask();
  decoding.set_handler(no_operation);
  decoding.finish();
}

// In the order of BarrierOperand, though the result is written first.
void decode_barrier_operands(Decoding& decoding, BarrierKind kind) {
  const size_t num_operands = decoding.instruction.operands.size();
  const bool reduces = kind != BarrierKind::kSync && kind != BarrierKind::kArrive;
  const bool has_count = num_operands == (reduces ? 4 : 2);
  const ptx::Operand* const result = reduces ? &decoding.next() : nullptr;
  decoding.use(ptx::Type::kU32);
  if (has_count) {
    decoding.use(ptx::Type::kU32);
  } else {
    if (kind == BarrierKind::kArrive) decoding.refuse("an arrival needs a count of threads");
    decoding.append(kNoOperand);
  }
  if (!reduces) {
    decoding.append(kNoOperand);
    decoding.append(kNoOperand);
    return;
  }
  decoding.op.immediate = decoding.use_predicate();
  const ptx::Type type = kind == BarrierKind::kPopc ? ptx::Type::kU32 : ptx::Type::kPred;
  if (!decoding.take(kind == BarrierKind::kPopc ? "u32" : "pred")) decoding.refuse("lacks a type");
  decoding.append(decoding.context.define(*result, type));
}

// bar.x is barrier.x.aligned.
template <bool kAlwaysAligned>
void decode_barrier(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
                    Operands& operands) {
  Decoding decoding(instruction, context, op, operands);
  if (decoding.take("warp")) {
    decode_warp_barrier(decoding);
    return;
  }
  decoding.take("cta");
  op.aligned = decoding.take("aligned") || kAlwaysAligned;
  const BarrierKind kind = take_kind(decoding);
  op.control = Control::kBarrier;
  op.flags = static_cast<uint32_t>(kind);
  decode_barrier_operands(decoding, kind);
  decoding.set_handler(no_operation);
  decoding.finish();
}

constexpr DecoderEntry kDecoders[] = {
    {"bra", decode_control<Control::kBranch>},
    {"brx", decode_indexed_branch},
    {"call", decode_call},
    {"ret", decode_control<Control::kReturn>},
    {"exit", decode_control<Control::kExit>},
    {"trap", decode_control<Control::kTrap>},
    {"brkpt", decode_control<Control::kTrap>},
    {"bar", decode_barrier<true>},
    {"barrier", decode_barrier<false>},
    {"membar", decode_fence},
    {"fence", decode_fence},
    {"pmevent", decode_no_operation},
    {"nanosleep", decode_sleep},
};

}  // namespace

std::span<const DecoderEntry> control_decoders() {
  return kDecoders;
}

}  // namespace emulator
