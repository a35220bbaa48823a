#include "execute/warp.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "execute/control_flow.h"
#include "execute/launch.h"
#include "execute/special_registers.h"
#include "memory/async_copies.h"

namespace emulator {
namespace {

constexpr size_t kAlignment = 64;  // of registers, as ProgramBuilder lays them out

// What registers and local memory hold before anything is written: a nan in any format, and another
// one under another seed, so that results that depend on it differ.
uint32_t unwritten_pattern(uint64_t seed) {
  constexpr uint32_t kNan = 0xFFF1'FFF1;
  return kNan ^ (static_cast<uint32_t>(seed * 0x9E37'79B9u >> 16) & 0x000E'000E);
}

void fill_words(std::byte* data, size_t bytes, uint32_t word) {
  std::fill_n(reinterpret_cast<uint32_t*>(data), bytes / sizeof word, word);
}

}  // namespace

void Warp::Free::operator()(std::byte* p) const {
  std::free(p);
}

Warp::Warp(Cta& cta, int index, LaneMask existing)
    : cta_(cta), index_(index), existing_(existing), copies_(std::make_unique<WarpCopies>()) {
  const Program& program = *cta.launch.program;
  const auto round_up = [](size_t bytes) { return (bytes / kAlignment + 1) * kAlignment; };
  const size_t register_bytes = round_up(program.register_bytes);
  registers_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, register_bytes)));
  if (registers_ == nullptr) throw std::bad_alloc();
  const uint32_t pattern = unwritten_pattern(cta.launch.settings.seed);
  fill_words(registers_.get(), register_bytes, pattern);
  if (program.local_bytes > 0) {
    const size_t local_bytes = round_up(program.local_bytes * kWarpLanes);
    local_.reset(new std::byte[local_bytes]);
    fill_words(local_.get(), local_bytes, pattern);
  }
  for (const ConstantSlot& slot : program.constants) {
    if (slot.bytes == 4) {
      std::fill_n(u32(slot.offset), kWarpLanes, static_cast<uint32_t>(slot.value[0]));
    } else {
      std::fill_n(u64(slot.offset), kWarpLanes, slot.value[0]);
    }
  }
  for (const SpecialSlot& slot : program.specials) {
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      const uint64_t value = value_of(slot.special, *this, lane);
      if (slot.bytes == 4) {
        u32(slot.offset)[lane] = static_cast<uint32_t>(value);
      } else {
        u64(slot.offset)[lane] = value;
      }
    }
  }
  control_ = std::make_unique<WarpControl>(*this, program.functions[0].entry);
}

Warp::~Warp() = default;

std::byte* Warp::local(int lane) {
  return local_.get() + lane * cta_.launch.program->local_bytes;
}

}  // namespace emulator
