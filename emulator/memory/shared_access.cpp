// Shared memory, as a warp accesses it.
#include <bit>

#include "memory/access.h"
#include "memory/banks.h"
#include "memory/shared_shadow.h"
#include "report/findings.h"

namespace emulator {
namespace {

LaneMask report_outside(const Access& access, const SharedMemory::Shadow& shadow) {
  const uint64_t size = static_cast<uint64_t>(shadow.bytes);
  LaneMask lanes = 0;
  for_lanes(access.active, [&](int lane) {
    const uint64_t address = access.address[lane];
    if (address > size || size - address < static_cast<uint64_t>(access.bytes)) lanes |= 1u << lane;
  });
  if (lanes == 0) return 0;
  const uint64_t address = access.address[std::countr_zero(lanes)];
  const int64_t end = static_cast<int64_t>(address) + access.bytes;
  report(FindingKind::kOutOfBounds, access.site(lanes), address,
         describe(access) +
             (static_cast<int64_t>(address) < 0
                  ? std::string(" before the start")
                  : " that ends " + std::to_string(end - shadow.bytes) + " bytes beyond the end") +
             " of the CTA's " + std::to_string(size) + " bytes of shared memory");
  return lanes;
}

template <typename F>
void for_each_flag(const Access& access, F f) {
  uint64_t last = UINT64_MAX;  // no offset
  for_lanes(access.active, [&](int lane) {
    if (access.address[lane] != last) f(kSharedWindow | access.address[lane]);
    last = access.address[lane];
  });
}

// The lanes that are aligned and lie within the CTA's shared memory; the others are reported.
LaneMask bounded_lanes(const Access& access, const SharedMemory::Shadow& shadow) {
  const uint64_t last = static_cast<uint64_t>(shadow.bytes) - access.bytes;
  const bool fits = shadow.bytes >= access.bytes && access.high <= last;
  if (fits && access.is_aligned()) return access.active;
  const LaneMask outside = fits ? 0 : report_outside(access, shadow);
  const LaneMask inside = access.active & ~outside;
  return inside == 0 ? 0 : inside & ~report_misaligned(access.restricted_to(inside));
}

LaneMask check_bounded(Access& access, bool is_copy) {
  access.warp.cta().shared.shadow().split_granules(access.bytes);
  count_wavefronts(access);
  if (is_copy) return access.active & ~check_copy(access);
  if (!access.strong) return access.active & ~check_shared(access);

  Clocks& clocks = access.warp.cta().clocks;
  const int warp = access.warp.index();
  auto& flags = access.warp.cta().shared.shadow().flags;
  for_each_flag(access, [&](uint64_t flag) { clocks.acquire(warp, flags[flag]); });
  const LaneMask outside = check_shared(access);
  SyncClock released;
  clocks.release(warp, released);
  for_each_flag(access, [&](uint64_t flag) { flags[flag].merge(released); });
  return access.active & ~outside;
}

// The lanes that have memory of their own.
LaneMask check(Access& access, bool is_copy) {
  const LaneMask bounded = bounded_lanes(access, access.warp.cta().shared.shadow());
  if (bounded == access.active) return check_bounded(access, is_copy);
  if (bounded == 0) return 0;
  Access part = access.restricted_to(bounded);
  return check_bounded(part, is_copy);
}

}  // namespace

LaneMask resolve_copy(Access& access) {
  return check(access, true);
}

void resolve_shared(Access& access, Places& places) {
  access.counters().requested_bytes +=
      static_cast<uint64_t>(std::popcount(access.active)) * access.bytes;
  places.valid = check(access, false);
  std::byte* data = access.warp.cta().shared.data();
  if (places.valid == kAllLanes && access.contiguous) {
    places.first = data + access.address[0];
    return;
  }
  for_lanes(access.active, [&](int lane) {
    const bool valid = (places.valid >> lane & 1) != 0;
    places.lane[lane] = valid ? data + access.address[lane] : stand_in(access.intent);
  });
}

}  // namespace emulator
