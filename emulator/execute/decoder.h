// From parsed instructions to Ops. Each family of instructions has a table of decoders.
#pragma once

#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "execute/program.h"
#include "ptx/module.h"

namespace emulator {

// An instruction, modifier or operand that the emulator does not know: an error that names it.
struct UnknownInstruction : std::runtime_error {
  UnknownInstruction(const ptx::Function& function, const ptx::Instruction& instruction,
                     const std::string& why);
  const ptx::Function* function;
  const ptx::Instruction* instruction;
};

// Gives operands their places while a function is decoded.
class DecodeContext {
 public:
  virtual ~DecodeContext() = default;

  // Byte offset of a source operand read as `type`: a register's own, or that of a constant
  // register of the type's width (immediates are converted to `type`; symbols give their address
  // within their space, as mov does, and functions that of function_address).
  virtual int32_t use(const ptx::Operand& operand, ptx::Type type) = 0;
  // Byte offset of a destination; a scratch register of the type's width for `_`.
  virtual int32_t define(const ptx::Operand& operand, ptx::Type type) = 0;
  // A fresh register of `bytes` a lane (4 for predicates, whatever the lane count).
  virtual int32_t scratch(int bytes_per_lane) = 0;
  // A constant register of `bytes` (4 or 8) a lane.
  virtual int32_t constant(uint64_t value, int bytes_per_lane) = 0;
  // The declared type of a register operand; kNone for other operands.
  virtual ptx::Type register_type(const ptx::Operand& operand) const = 0;

  // An address operand: the offset of its 64-bit base register (32-bit bases are widened at run
  // time: `base_bits` says which; symbols become constants: offset within `space`, or the generic
  // address if `space` is kGeneric) and what is added to it.
  struct Address {
    int32_t base;
    int base_bits;  // 32 or 64
    int64_t offset;
    ptx::Space space;  // the space asked for, or where a symbol lies if more is known (entry
                       // parameters: kParam)
    bool is_local_param =
        false;  // a call's or .func's parameter: lies in the thread's local memory
  };
  virtual Address address(const ptx::Operand& operand, ptx::Space space) = 0;

  // The condition code of add.cc and its like: a predicate that all of them share.
  int32_t carry_flag() {
    if (carry_flag_ < 0) carry_flag_ = scratch(4);
    return carry_flag_;
  }

  // Keeps an object alive as long as the Program; returns what Op::extra is to hold.
  virtual const void* keep(std::shared_ptr<const void> object) = 0;

  [[noreturn]] virtual void refuse(const std::string& why) const = 0;

 private:
  int32_t carry_flag_ = -1;
};

// Fills op.handler, flags, immediate, extra, aligned; appends operand offsets to `operands`, which
// become op.operands. Guard, id, source are set by the caller. `sync_mask` where there is one.
using Decoder = void (*)(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
                         std::vector<int32_t>& operands);

struct DecoderEntry {
  std::string_view opcode;  // "add", "mma", ...
  Decoder decode;
};

// One table a family; an opcode stands in one of them.
std::span<const DecoderEntry> integer_decoders();  // execute/integer_ops.cpp
std::span<const DecoderEntry>
float_decoders();  // execute/float_ops.cpp   add, fma, setp... by type
std::span<const DecoderEntry> convert_decoders();  // execute/convert_ops.cpp
std::span<const DecoderEntry>
warp_decoders();  // execute/warp_ops.cpp    shfl, vote, match, redux, ...
std::span<const DecoderEntry> matrix_decoders();  // execute/matrix_ops.cpp  mma, movmatrix
std::span<const DecoderEntry>
memory_decoders();  // memory/memory_ops.cpp   ld, st, atom, cp, ldmatrix, ...
std::span<const DecoderEntry>
control_decoders();  // execute/control_ops.cpp bra, call, bar, exit, ...

// What a pointer to a function holds, in registers and in initialised variables; 0 where there is
// no such function.
uint64_t function_address(const ptx::Module& module, std::string_view name);

// Decodes `kernel` and all it calls. `address_of_global` resolves module variables.
// Throws UnknownInstruction.
class SymbolTable {
 public:
  virtual ~SymbolTable() = default;
  virtual uint64_t address_of(std::string_view global_or_const_variable) const = 0;
};
std::unique_ptr<Program> decode(const ptx::Module& module, const ptx::Function& kernel,
                                const SymbolTable& symbols);

}  // namespace emulator
