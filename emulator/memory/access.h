// One execution of a memory instruction: where its lanes point, and the host's view of it.
//
// Whatever the space, an instruction first resolves its addresses: bounds, alignment, what was
// written and what races are checked, counters are kept, and each lane gets a host pointer. Moving
// the bytes is then the same everywhere. A lane with a finding that leaves it no memory of its own
// gets a stand-in: zeros to read, or a place that nobody reads to write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "execute/launch.h"
#include "execute/program.h"
#include "execute/warp.h"
#include "report/findings.h"

namespace emulator {

enum class Intent : uint8_t { kRead, kWrite, kUpdate };  // kUpdate: reads, then writes

struct Access {
  Warp& warp;
  const Op& op;
  LaneMask active;
  int bytes;      // a lane's
  int alignment;  // a power of two
  Intent intent;
  // Volatile, atomic and the like: orders the warps that use one address, so they do not race.
  bool strong;
  int num_matrices = 0;  // of ldmatrix, which passes the banks a matrix at a time

  Access(Warp& warp_, const Op& op_, LaneMask active_, int bytes_, Intent intent_,
         bool strong_ = false)
      : warp(warp_),
        op(op_),
        active(active_),
        bytes(bytes_),
        alignment(bytes_),
        intent(intent_),
        strong(strong_) {}
  // From the base register of an address operand, `base_bits` wide, and what is added to it.
  void set_addresses(int32_t base, int base_bits, int64_t offset);
  void remove_window();  // generic addresses become offsets
  // The same access for some of its lanes only.
  Access restricted_to(LaneMask lanes) const;

  alignas(64) uint64_t address[kWarpLanes];  // an inactive lane's is that of an active one
  uint64_t low, high, bits;                  // least and greatest address, all bits that occur
  bool contiguous;                           // a full warp whose lanes lie one behind the other

  OpCounters& counters() const { return warp.cta().counters.ops[op.id]; }
  FindingSite site(LaneMask lanes) const { return {&warp, &op, lanes}; }
  const Program& program() const { return *warp.cta().launch.program; }
  bool is_aligned() const { return (bits & (uint64_t(alignment) - 1)) == 0; }

 private:
  void fill_inactive();
  void survey();
};

struct Places {
  // Null, or lane l's bytes are at first + l * bytes.
  std::byte* first = nullptr;
  std::byte* lane[kWarpLanes] = {};  // only where `first` is null
  LaneMask valid = 0;                // active lanes that have memory of their own

  std::byte* at(int index, int bytes) const {
    return first != nullptr ? first + int64_t{index} * bytes : lane[index];
  }
};

// What stands in for the memory of a lane without any.
std::byte* stand_in(Intent intent);

void resolve(ptx::Space space, Access& access, Places& places);
void resolve_global(Access& access, Places& places);
void resolve_shared(Access& access, Places& places);
void resolve_local(Access& access, Places& places);
void resolve_parameter(Access& access, Places& places);

// The destination of a cp.async, whose bytes are in flight from then on. Returns the lanes that
// have one.
LaneMask resolve_copy(Access& access);

// "read of 4 bytes", for messages.
std::string describe(const Access& access);
// Reports lanes whose address is no multiple of the alignment; returns them.
LaneMask report_misaligned(const Access& access);

}  // namespace emulator
