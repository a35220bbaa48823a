#include "memory/access.h"

#include <algorithm>
#include <bit>

#include "report/findings.h"

namespace emulator {
namespace {

constexpr int kLargestAccess = 16;

ptx::Space space_of(uint64_t generic_address) {
  switch (generic_address & kWindowMask) {
    case kSharedWindow:
      return ptx::Space::kShared;
    case kLocalWindow:
      return ptx::Space::kLocal;
    case kParamWindow:
      return ptx::Space::kParam;
    default:
      return ptx::Space::kGlobal;
  }
}

// Each lane's address decides its space.
void resolve_generic(Access& access, Places& places) {
  if ((access.bits & kWindowMask) == 0) return resolve_global(access, places);
  LaneMask rest = access.active;
  while (rest != 0) {
    const ptx::Space space = space_of(access.address[std::countr_zero(rest)]);
    LaneMask lanes = 0;
    for_lanes(rest, [&](int lane) {
      if (space_of(access.address[lane]) == space) lanes |= 1u << lane;
    });
    Access part = access.restricted_to(lanes);
    if (space != ptx::Space::kGlobal) part.remove_window();
    if (lanes == access.active) return resolve(space, part, places);
    Places part_places;
    resolve(space, part, part_places);
    for_lanes(lanes, [&](int lane) { places.lane[lane] = part_places.at(lane, access.bytes); });
    places.valid |= part_places.valid;
    rest &= ~lanes;
  }
}

// Lies in global memory, but is read through a cache of its own: no sectors.
void resolve_constant(Access& access, Places& places) {
  const uint64_t sectors = access.counters().sectors;
  resolve_global(access, places);
  access.counters().sectors = sectors;
}

}  // namespace

void Access::set_addresses(int32_t base, int base_bits, int64_t offset) {
  if (base_bits == 64) {
    const uint64_t* bases = warp.u64(base);
    for (int lane = 0; lane < kWarpLanes; ++lane) address[lane] = bases[lane] + offset;
  } else {
    const uint32_t* bases = warp.u32(base);
    for (int lane = 0; lane < kWarpLanes; ++lane) address[lane] = bases[lane] + offset;
  }
  fill_inactive();
  survey();
}

void Access::remove_window() {
  for (uint64_t& one : address) one &= ~kWindowMask;
  survey();
}

Access Access::restricted_to(LaneMask lanes) const {
  Access part = *this;
  part.active = lanes;
  part.fill_inactive();
  part.survey();
  return part;
}

void Access::fill_inactive() {
  if (active == kAllLanes) return;
  const uint64_t fill = address[std::countr_zero(active)];
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    address[lane] = (active >> lane & 1) != 0 ? address[lane] : fill;
  }
}

void Access::survey() {
  uint64_t least = address[0], greatest = address[0], any = 0, difference = 0;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    least = std::min(least, address[lane]);
    greatest = std::max(greatest, address[lane]);
    any |= address[lane];
    difference |= address[lane] ^ (address[0] + static_cast<uint64_t>(lane) * bytes);
  }
  low = least;
  high = greatest;
  bits = any;
  contiguous = active == kAllLanes && difference == 0;
}

std::byte* stand_in(Intent intent) {
  alignas(kLargestAccess) static std::byte zeros[kLargestAccess] = {};
  alignas(kLargestAccess) thread_local std::byte unread[kLargestAccess];
  if (intent == Intent::kRead) return zeros;
  std::fill(std::begin(unread), std::end(unread), std::byte{0});
  return unread;
}

void resolve(ptx::Space space, Access& access, Places& places) {
  switch (space) {
    case ptx::Space::kGeneric:
      return resolve_generic(access, places);
    case ptx::Space::kShared:
      return resolve_shared(access, places);
    case ptx::Space::kLocal:
      return resolve_local(access, places);
    case ptx::Space::kParam:
      return resolve_parameter(access, places);
    case ptx::Space::kConst:
      return resolve_constant(access, places);
    default:
      return resolve_global(access, places);
  }
}

std::string describe(const Access& access) {
  const char* name = access.intent == Intent::kRead    ? "read"
                     : access.intent == Intent::kWrite ? "write"
                                                       : "atomic update";
  return std::string(name) + " of " + std::to_string(access.bytes) +
         (access.bytes == 1 ? " byte" : " bytes");
}

LaneMask report_misaligned(const Access& access) {
  LaneMask lanes = 0;
  for_lanes(access.active, [&](int lane) {
    if (access.address[lane] % access.alignment != 0) lanes |= 1u << lane;
  });
  if (lanes != 0) {
    report(FindingKind::kMisaligned, access.site(lanes), access.address[std::countr_zero(lanes)],
           describe(access) + " at an address that is no multiple of " +
               std::to_string(access.alignment));
  }
  return lanes;
}

}  // namespace emulator
