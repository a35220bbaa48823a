#include "execute/special_registers.h"

#include <chrono>
#include <utility>

#include "execute/launch.h"

namespace emulator {
namespace {

constexpr std::pair<std::string_view, Special> kSpecials[] = {
    {"%tid.x", Special::kTidX},
    {"%tid.y", Special::kTidY},
    {"%tid.z", Special::kTidZ},
    {"%ntid.x", Special::kNtidX},
    {"%ntid.y", Special::kNtidY},
    {"%ntid.z", Special::kNtidZ},
    {"%ctaid.x", Special::kCtaidX},
    {"%ctaid.y", Special::kCtaidY},
    {"%ctaid.z", Special::kCtaidZ},
    {"%nctaid.x", Special::kNctaidX},
    {"%nctaid.y", Special::kNctaidY},
    {"%nctaid.z", Special::kNctaidZ},
    {"%laneid", Special::kLaneid},
    {"%warpid", Special::kWarpid},
    {"%nwarpid", Special::kNwarpid},
    {"%smid", Special::kSmid},
    {"%nsmid", Special::kNsmid},
    {"%gridid", Special::kGridid},
    {"%lanemask_eq", Special::kLanemaskEq},
    {"%lanemask_le", Special::kLanemaskLe},
    {"%lanemask_lt", Special::kLanemaskLt},
    {"%lanemask_ge", Special::kLanemaskGe},
    {"%lanemask_gt", Special::kLanemaskGt},
    {"%dynamic_smem_size", Special::kDynamicSmemSize},
    {"%total_smem_size", Special::kTotalSmemSize},
};

enum ClockFlags : uint32_t { kGlobalTimer = 1, kWide = 2 };
constexpr int kHighWord = 32;  // what the registers of the upper half are shifted by

// Time as the CTA knows it: instructions that its warps have executed. Reading it takes time too.
uint64_t read_clock(Warp& warp) {
  constexpr uint64_t kReadSteps = 16;
  return warp.cta().steps += kReadSteps;
}

uint64_t read_global_timer() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

void execute_clock(Warp& warp, const Op& op, LaneMask active) {
  const uint64_t now = (op.flags & kGlobalTimer) != 0 ? read_global_timer() : read_clock(warp);
  const uint64_t value = now >> op.immediate;
  if ((op.flags & kWide) != 0) {
    for_lanes(active, [&](int lane) { warp.u64(op.operands[0])[lane] = value; });
  } else {
    for_lanes(active,
              [&](int lane) { warp.u32(op.operands[0])[lane] = static_cast<uint32_t>(value); });
  }
  warp.yield();  // whoever asks for the time may be waiting for somebody
}

template <uint32_t kFlags, int kShift>
void decode_clock(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
                  std::vector<int32_t>& operands) {
  const ptx::Type type = context.register_type(instruction.operands[0]);
  op.handler = execute_clock;
  op.flags = kFlags;
  if (ptx::bits_of(type) == 64) op.flags |= kWide;
  op.immediate = kShift;
  operands.push_back(context.define(instruction.operands[0], type));
}

constexpr std::pair<std::string_view, Decoder> kClocks[] = {
    {"%clock", decode_clock<0, 0>},
    {"%clock64", decode_clock<0, 0>},
    {"%clock_hi", decode_clock<0, kHighWord>},
    {"%globaltimer", decode_clock<kGlobalTimer, 0>},
    {"%globaltimer_lo", decode_clock<kGlobalTimer, 0>},
    {"%globaltimer_hi", decode_clock<kGlobalTimer, kHighWord>},
};

template <typename Table>
auto find_in(const Table& table, std::string_view name) {
  std::optional<std::remove_cv_t<decltype(table[0].second)>> result;
  for (const auto& [key, value] : table) {
    if (key == name) result = value;
  }
  return result;
}

Dim3 thread_index(const Dim3& block, uint64_t thread) {
  return {static_cast<uint32_t>(thread % block.x),
          static_cast<uint32_t>(thread / block.x % block.y),
          static_cast<uint32_t>(thread / block.x / block.y)};
}

}  // namespace

std::optional<Special> special_named(std::string_view name) {
  return find_in(kSpecials, name);
}

Decoder clock_decoder(std::string_view name) {
  return find_in(kClocks, name).value_or(nullptr);
}

uint64_t value_of(Special special, Warp& warp, int lane) {
  const Cta& cta = warp.cta();
  const Launch& launch = cta.launch;
  const Dim3 thread =
      thread_index(launch.block, static_cast<uint64_t>(warp.index()) * kWarpLanes + lane);
  const uint32_t own = 1u << lane;
  switch (special) {
    case Special::kTidX:
      return thread.x;
    case Special::kTidY:
      return thread.y;
    case Special::kTidZ:
      return thread.z;
    case Special::kNtidX:
      return launch.block.x;
    case Special::kNtidY:
      return launch.block.y;
    case Special::kNtidZ:
      return launch.block.z;
    case Special::kCtaidX:
      return cta.index.x;
    case Special::kCtaidY:
      return cta.index.y;
    case Special::kCtaidZ:
      return cta.index.z;
    case Special::kNctaidX:
      return launch.grid.x;
    case Special::kNctaidY:
      return launch.grid.y;
    case Special::kNctaidZ:
      return launch.grid.z;
    case Special::kLaneid:
      return static_cast<uint32_t>(lane);
    case Special::kWarpid:
      return static_cast<uint32_t>(warp.index());
    case Special::kNwarpid:
      return (launch.block.count() + kWarpLanes - 1) / kWarpLanes;
    case Special::kSmid:
      return cta.linear_index() % launch.settings.num_sms;
    case Special::kNsmid:
      return static_cast<uint32_t>(launch.settings.num_sms);
    case Special::kGridid:
      return launch.grid_id;
    case Special::kLanemaskEq:
      return own;
    case Special::kLanemaskLe:
      return own | (own - 1);
    case Special::kLanemaskLt:
      return own - 1;
    case Special::kLanemaskGe:
      return ~(own - 1);
    case Special::kLanemaskGt:
      return ~(own | (own - 1));
    case Special::kDynamicSmemSize:
      return static_cast<uint64_t>(launch.dynamic_shared_bytes);
    case Special::kTotalSmemSize:
      return static_cast<uint64_t>(cta.launch.dynamic_shared_bytes +
                                   cta.launch.program->static_shared_bytes);
  }
  return 0;
}

}  // namespace emulator
