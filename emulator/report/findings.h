// Findings: mistakes of the program under test, printed on stderr as `file:line: kind: ...`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "execute/program.h"

namespace emulator {

enum class FindingKind : uint8_t {
  kOutOfBounds,
  kMisaligned,
  kUninitialised,
  kRace,
  kUnfinishedCopy,    // cp.async data read (or overwritten) before its wait
  kDivergentAligned,  // .sync.aligned reached by part of a warp
  kDeadlock,
  kInvalidMetadata,
  kUseAfterFree,
  kUnknownInstruction,
  kTrap,
  kInvalidArgument,  // of an instruction: a barrier count that is no multiple of 32, ...
};
std::string_view name_of(FindingKind kind);  // "out-of-bounds", "race", ...

// "lanes 0-3,7"
std::string format_mask(LaneMask lanes);

struct FindingSite {
  Warp* warp = nullptr;  // null where no thread is meant
  const Op* op = nullptr;
  LaneMask lanes = 0;
  const ptx::Module* module = nullptr;  // of `op`, where there is no warp
};

// Reports once for each (kind, instruction); repeats are counted. `address` and what it `clashes`
// with are part of the message. Thread-safe.
void report(FindingKind kind, const FindingSite& site, std::optional<uint64_t> address,
            const std::string& message, const Op* clashes_with = nullptr);
// Something worth knowing that is no mistake: printed once as `file:line: note: ...`, no exit
// status.
void note(const FindingSite& site, const std::string& message);

// "file.cu:12 (in load_stage), inlined at kernel.cu:80 (in kernel)": the first frame, from the
// innermost outwards, that does not lie under csrc/cuda/ptx, then the rest of the chain.
std::string location_of(const ptx::Module& module, const ptx::Instruction& instruction);

int num_findings();
std::vector<std::string> finding_texts();
void clear_findings();
// Findings of `kind` (its name, or "*") whose text contains `where` are dropped from now on.
void suppress(std::string kind, std::string where, std::string reason);

}  // namespace emulator
