#include "execute/plant.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include "execute/warp.h"
#include "mma/mma.h"

namespace emulator {
namespace {

constexpr int kMaxRegisters = 16;

// The instruction as it should be, and what is done around it.
struct Planted {
  Op original;
  Plant plant;
  mma::Description mma;  // where it is one
  int num_results = 0;   // registers that it writes, the first operands
};

using Register = std::array<uint32_t, kWarpLanes>;

void swap_lanes(Warp& warp, const Op& op, int count) {
  for (int i = 0; i < count; ++i) {
    uint32_t* lanes = warp.u32(op.operands[i]);
    std::swap(lanes[0], lanes[4]);
  }
}

// An operand register of the original, altered while it runs.
class Altered {
 public:
  Altered(uint32_t* lanes) : lanes_(lanes) { std::memcpy(saved_.data(), lanes, sizeof saved_); }
  ~Altered() { std::memcpy(lanes_, saved_.data(), sizeof saved_); }
  Altered(const Altered&) = delete;
  Altered& operator=(const Altered&) = delete;

 private:
  uint32_t* lanes_;
  Register saved_;
};

void run_with_metadata_swapped(Warp& warp, const Planted& p, LaneMask active) {
  const mma::Description& d = p.mma;
  uint32_t* metadata = warp.u32(p.original.operands[d.num_d() + d.num_a() + d.num_b() + d.num_c()]);
  const Altered keep(metadata);
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const uint32_t pair = metadata[lane] & 0xF;
    metadata[lane] = (metadata[lane] & ~0xFu) | (pair >> 2) | ((pair & 3) << 2);
  }
  p.original.handler(warp, p.original, active);
}

void run_with_half_of_k(Warp& warp, const Planted& p, LaneMask active) {
  const mma::Description& d = p.mma;
  const int first = d.num_d() + d.num_a() + d.num_b() / 2;
  const int count = d.num_b() - d.num_b() / 2;
  std::array<Register, kMaxRegisters> saved;
  for (int i = 0; i < count; ++i) {
    uint32_t* lanes = warp.u32(p.original.operands[first + i]);
    std::memcpy(saved[static_cast<size_t>(i)].data(), lanes, sizeof(Register));
    std::memset(lanes, 0, sizeof(Register));
  }
  p.original.handler(warp, p.original, active);
  for (int i = 0; i < count; ++i) {
    std::memcpy(warp.u32(p.original.operands[first + i]), saved[static_cast<size_t>(i)].data(),
                sizeof(Register));
  }
}

void run_planted(Warp& warp, const Op& op, LaneMask active) {
  const auto& p = *static_cast<const Planted*>(op.extra);
  switch (p.plant) {
    case Plant::kMetadata:
      return run_with_metadata_swapped(warp, p, active);
    case Plant::kHalfK:
      return run_with_half_of_k(warp, p, active);
    case Plant::kLanes:
      p.original.handler(warp, p.original, active);
      return swap_lanes(warp, p.original, p.num_results);
    case Plant::kNone:
      return;
  }
}

std::string family_of(const ptx::Instruction& instruction) {
  const bool sparse = std::any_of(instruction.modifiers.begin(), instruction.modifiers.end(),
                                  [](const std::string& m) { return m.starts_with("sp"); });
  return instruction.opcode == "mma" && sparse ? "mma.sp" : instruction.opcode;
}

int num_matrices(const ptx::Instruction& instruction) {
  for (const int count : {4, 2}) {
    if (instruction.has("x" + std::to_string(count))) return count;
  }
  return 1;
}

}  // namespace

Plant planted_in(const ptx::Instruction& instruction) {
  static const char* setting = std::getenv("EMULATOR_PLANT");
  if (setting == nullptr) return Plant::kNone;
  const std::string_view text(setting);
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.substr(0, colon) != family_of(instruction)) {
    return Plant::kNone;
  }
  const std::string_view error = text.substr(colon + 1);
  if (error == "lanes") return Plant::kLanes;
  if (error == "metadata") return Plant::kMetadata;
  return error == "half-k" ? Plant::kHalfK : Plant::kNone;
}

void plant(Plant plant, const ptx::Instruction& instruction, DecodeContext& context, Op& op) {
  auto planted = std::make_shared<Planted>();
  planted->plant = plant;
  if (instruction.opcode == "mma") {
    planted->mma = *mma::describe(instruction);
    planted->num_results = planted->mma.num_d();
  } else if (instruction.opcode == "ldmatrix" && plant == Plant::kLanes) {
    planted->num_results = num_matrices(instruction);
  } else {
    context.refuse("EMULATOR_PLANT knows no such error of " + instruction.opcode);
  }
  planted->original = op;
  op.handler = run_planted;
  op.extra = context.keep(planted);
}

}  // namespace emulator
