// Local memory and kernel parameters, as a warp accesses them.
#include <bit>
#include <span>

#include "memory/access.h"
#include "report/findings.h"
#include "report/location.h"

namespace emulator {
namespace {

const Placement* placement_of(std::span<const Placement> placements, uint64_t address,
                              uint64_t bytes) {
  for (const Placement& placement : placements) {
    const uint64_t size = static_cast<uint64_t>(placement.variable->bytes);
    const uint64_t offset = address - placement.address;
    if (address >= placement.address && offset <= size && bytes <= size - offset) {
      return &placement;
    }
  }
  return nullptr;
}

// The lanes that lie within a variable and are aligned; the others are reported.
LaneMask bounded_lanes(const Access& access, std::span<const Placement> placements,
                       const char* space) {
  const uint64_t bytes = static_cast<uint64_t>(access.bytes);
  const uint64_t span = access.high - access.low + bytes;
  if (access.is_aligned() && span >= bytes &&
      placement_of(placements, access.low, span) != nullptr) {
    return access.active;
  }
  LaneMask outside = 0;
  for_lanes(access.active, [&](int lane) {
    if (placement_of(placements, access.address[lane], access.bytes) == nullptr) {
      outside |= 1u << lane;
    }
  });
  if (outside != 0) {
    const uint64_t address = access.address[std::countr_zero(outside)];
    std::string message = describe(access) + " outside every variable of " + space + " memory";
    const Placement* before = nullptr;
    for (const Placement& placement : placements) {
      if (placement.address > address) continue;
      if (before == nullptr || placement.address > before->address) before = &placement;
    }
    if (before != nullptr) {
      message += ", " + std::to_string(address - before->address) + " bytes from the start of '" +
                 readable_name(before->variable->name) + "' of " +
                 std::to_string(before->variable->bytes) + " bytes";
    }
    report(FindingKind::kOutOfBounds, access.site(outside), address, message);
  }
  const LaneMask inside = access.active & ~outside;
  return inside == 0 ? 0 : inside & ~report_misaligned(access.restricted_to(inside));
}

template <typename F>
void place_lanes(const Access& access, LaneMask valid, Places& places, F place) {
  access.counters().requested_bytes +=
      static_cast<uint64_t>(std::popcount(access.active)) * access.bytes;
  places.valid = valid;
  for_lanes(access.active, [&](int lane) {
    places.lane[lane] = (valid >> lane & 1) != 0 ? place(lane) : stand_in(access.intent);
  });
}

}  // namespace

void resolve_local(Access& access, Places& places) {
  const LaneMask valid = bounded_lanes(access, access.program().local, "local");
  place_lanes(access, valid, places,
              [&](int lane) { return access.warp.local(lane) + access.address[lane]; });
}

void resolve_parameter(Access& access, Places& places) {
  const LaneMask valid = bounded_lanes(access, access.program().parameters, "parameter");
  // Only read: stores are refused when they are decoded, or come as generic addresses and are
  // dropped.
  const LaneMask readable = access.intent == Intent::kRead ? valid : 0;
  if (valid != readable) {
    report(FindingKind::kOutOfBounds, access.site(valid), access.address[std::countr_zero(valid)],
           describe(access) + " of a kernel's parameters, which are read-only");
  }
  auto* parameters = const_cast<std::byte*>(access.warp.cta().launch.parameters.data());
  place_lanes(access, readable, places,
              [&](int lane) { return parameters + access.address[lane]; });
}

}  // namespace emulator
