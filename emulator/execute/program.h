// A kernel made ready to run: instructions decoded into handlers and byte offsets.
//
// A warp's registers lie in one buffer, lane after lane: a register of up to 32 bits is 32
// uint32_t, one of 64 bits 32 uint64_t, one of 128 bits 32 pairs of uint64_t, a predicate one
// uint32_t mask. Immediates, addresses of variables and special registers that do not change are
// registers too, filled when the warp starts, so that a handler never asks what kind of operand it
// has.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ptx/module.h"

namespace emulator {

inline constexpr int kWarpLanes = 32;
using LaneMask = uint32_t;  // bit l: lane l
inline constexpr LaneMask kAllLanes = 0xFFFFFFFFu;

class Warp;
struct Op;

// Executes `op` for the lanes of `active` (never empty); writes no other lane's registers.
using Handler = void (*)(Warp& warp, const Op& op, LaneMask active);

// What the scheduler does with an instruction; kNone: calls the handler, goes to the next.
enum class Control : uint8_t {
  kNone,
  kBranch,         // to `target` for the active lanes
  kBranchIndexed,  // brx.idx: to targets[operand 0 of each lane]
  kCall,           // function at `target`, or indirect through operand 0
  kReturn,
  kExit,
  kTrap,
  kBarrier,  // bar.* / barrier.*
  kSync,     // as kNone, once the lanes that it needs are there; set for .aligned and member masks
};

struct Op {
  Handler handler = nullptr;
  const int32_t* operands =
      nullptr;            // byte offsets of registers, in an order that decoder and handler share
  int64_t immediate = 0;  // free for decoder and handler
  uint32_t flags = 0;     // likewise
  const void* extra = nullptr;  // likewise; lives as long as the Program
  int32_t guard = -1;           // offset of the guard predicate; -1: unguarded
  int32_t target = -1;          // index of an Op, for branches and calls
  int32_t reconverge = -1;      // where the lanes that a branch parts meet again; -1: at exit
  int32_t sync_mask = -1;       // offset of the member mask of a .sync instruction; -1: none
  int32_t id = 0;               // index in Program::ops
  uint16_t num_operands = 0;
  Control control = Control::kNone;
  bool guard_negated = false;
  bool aligned = false;  // .aligned: the whole warp must execute it together
  const ptx::Instruction* source = nullptr;
  const ptx::Function* function = nullptr;
};

// A value that a register holds from a warp's start on.
struct ConstantSlot {
  int32_t offset;
  int32_t bytes;  // of one lane: 4, 8 or 16
  uint64_t value[2];
};

enum class Special : uint8_t {  // special registers that a warp fills in at its start
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneid,
  kWarpid,
  kNwarpid,
  kSmid,
  kNsmid,
  kGridid,
  kLanemaskEq,
  kLanemaskLe,
  kLanemaskLt,
  kLanemaskGe,
  kLanemaskGt,
  kDynamicSmemSize,
  kTotalSmemSize,
};
struct SpecialSlot {
  int32_t offset;
  int32_t bytes;  // of one lane: 4 or 8
  Special special;
};

// A variable's place: shared ones in the CTA, local ones in the thread, parameters in the launch.
struct Placement {
  const ptx::Variable* variable;
  uint64_t address;  // offset within its space
};

// Bytes of a thread's local memory, or of a range of a warp's registers.
struct Range {
  int64_t offset = 0;
  int64_t bytes = 0;
};

// A function within a Program. Its registers and its variables have one place: a call of a function
// that is already running saves them and its return restores them.
struct FunctionCode {
  const ptx::Function* function = nullptr;
  int32_t entry = -1;    // index of an Op
  uint64_t address = 0;  // what pointers to it hold
  int32_t registers =
      0;  // where the 32-bit ones begin; those of 64 and 128 bits and predicates follow
  int32_t num_32 = 0, num_64 = 0, num_128 = 0, num_predicates = 0;
  Range local;                    // all its variables in local memory, the next two among them
  std::vector<Range> parameters;  // in local memory
  std::vector<Range> results;
  bool has_local_variables = false;  // beside parameters: their addresses may be anywhere
};

// A function that the CUDA runtime supplies: execute/builtin_calls.cpp.
struct CallSite;
using Builtin = void (*)(Warp& warp, const Op& op, const CallSite& site, LaneMask active);

// Op::extra of a call.
struct CallSite {
  int caller = -1;  // index of Program::functions
  int callee = -1;  // likewise; -1: indirect, through operand 0, or built in
  Builtin builtin = nullptr;
  std::vector<Range> arguments;  // in the caller's local memory
  std::vector<Range> results;
};

struct Program {
  const ptx::Module* module = nullptr;
  const ptx::Function* kernel = nullptr;
  std::vector<Op> ops;                  // of the kernel, then of the functions it calls
  std::vector<FunctionCode> functions;  // likewise
  int32_t register_bytes = 0;
  std::vector<ConstantSlot> constants;
  std::vector<SpecialSlot> specials;
  std::vector<Placement> shared;  // static variables; gaps between them catch overruns
  int64_t static_shared_bytes = 0;
  int64_t declared_shared_bytes = 0;  // the same without the gaps: what a device would set aside
  std::vector<Placement> parameters;  // of the kernel
  int64_t parameter_bytes = 0;
  int64_t local_bytes = 0;  // a thread's
  std::vector<Placement> local;
  std::vector<std::unique_ptr<int32_t[]>> operand_pool;
  std::vector<std::shared_ptr<const void>> extras;  // owns what Op::extra points to
};

}  // namespace emulator
