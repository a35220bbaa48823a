// A PTX module as parsed: names, types and instructions, nothing decided about how to run them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace emulator::ptx {

enum class Space : uint8_t { kGeneric, kReg, kParam, kConst, kGlobal, kShared, kLocal };

// PTX's fundamental and packed types. kNone where an instruction has no such modifier.
enum class Type : uint8_t {
  kNone,
  kPred,
  kB8,
  kB16,
  kB32,
  kB64,
  kB128,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kF16x2,
  kBF16,
  kBF16x2,
  kTF32,
  kF32,
  kF32x2,
  kF64,
  kU16x2,
  kS16x2,
  kE4M3,
  kE5M2,
  kE4M3x2,
  kE5M2x2,
  kU4,
  kS4,
  kB1,
};

int bits_of(Type type);             // 0 for kNone, 1 for kPred and kB1
Type type_named(std::string_view);  // "f16x2" -> kF16x2; kNone where there is no such type

// One frame of an inlining chain.
struct Frame {
  int file = 0;  // as in `.file`; index of Module::files
  int line = 0;
  std::string function;  // empty where PTX does not say
};

// Where an instruction comes from: frames innermost first; empty without -lineinfo.
using Chain = std::vector<Frame>;

enum class OperandKind : uint8_t {
  kRegister,   // reg
  kImmediate,  // value: the integer, or the bits of a float literal (0f, 0d) or of a decimal one as
               // f64
  kSymbol,     // symbol: a variable (+ value), function or label
  kAddress,    // [reg + value], [symbol + value] or [value]; elements: what follows as in [map, {x,
               // y}]
  kVector,     // elements: {a, b, ...}, and the lists of a call: (results), function, (arguments)
  kSpecial,    // symbol: "%tid.x", "%laneid", ...
  kSink,       // _
};

enum class Literal : uint8_t { kInteger, kUnsigned, kFloat32Bits, kFloat64Bits };

struct Operand {
  OperandKind kind = OperandKind::kSink;
  bool negated = false;  // !p
  int reg = -1;          // index into Function::registers; also an address' base; -1 where none
  int second = -1;       // second predicate of `p|q`; -1 where none
  Literal literal = Literal::kInteger;
  int64_t value = 0;
  std::string symbol;  // also an address' base
  std::vector<Operand> elements;
};

struct Instruction {
  std::string opcode;                  // "mma", "ld", "setp", ...: what stands before the first dot
  std::vector<std::string> modifiers;  // "sp::ordered_metadata", "sync", "aligned", "m16n8k32", ...
  int guard = -1;                      // predicate register; -1 where unguarded
  bool guard_negated = false;
  std::vector<Operand> operands;
  int line = 0;      // of the PTX text, from 1
  int chain = 0;     // index of Module::chains
  std::string text;  // one line, spaces collapsed, for messages

  bool has(std::string_view modifier) const;
  std::string full_opcode() const;  // with its modifiers, joined by dots
};

struct Variable {
  std::string name;
  Space space = Space::kGlobal;
  Type type = Type::kNone;
  int alignment = 1;
  int64_t bytes = 0;  // 0 for `extern .shared x[]`
  bool is_extern = false;
  std::vector<std::byte> initial;  // empty, or `bytes` long
  struct Relocation {              // the 8 bytes at `offset` hold the address of `symbol` + addend
    int64_t offset = 0;
    std::string symbol;
    int64_t addend = 0;
    bool generic = false;  // generic(symbol)
  };
  std::vector<Relocation> relocations;
};

struct Register {
  std::string name;  // "%r12"
  Type type = Type::kNone;
};

struct Function {
  std::string name;
  bool is_entry = false;
  bool has_body = false;             // false for a declaration (vprintf, __assertfail, ...)
  std::vector<Variable> parameters;  // Space::kParam, or kReg for .reg parameters
  std::vector<Variable> results;     // of a .func
  std::vector<Register> registers;
  std::vector<Variable>
      variables;  // .shared, .local, and call-scope .param, names made unique by scope
  std::map<std::string, int, std::less<>>
      labels;  // -> index into instructions; names made unique by scope
  std::map<std::string, std::vector<std::string>, std::less<>>
      branch_targets;  // .branchtargets (brx.idx)
  std::vector<Instruction> instructions;
  int max_threads[3] = {0, 0, 0};  // .maxntid, .reqntid; 0 where unset
};

struct Module {
  std::string name;    // for messages where there is no line information
  std::string target;  // "sm_80"
  int version = 0;     // 90 for `.version 9.0`
  std::map<int, std::string> files;
  std::vector<Chain> chains;  // [0] is empty
  std::vector<Variable> variables;
  std::vector<std::unique_ptr<Function>> functions;

  const Function* find(std::string_view name) const;
};

struct ParseError {
  int line;
  std::string message;
};

// Throws ParseError. Unknown instructions parse; it is the decoder that refuses them.
std::unique_ptr<Module> parse(std::string_view text, std::string name);

}  // namespace emulator::ptx
