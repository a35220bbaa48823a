// Global and constant memory, as a warp accesses it.
#include <algorithm>
#include <bit>
#include <cstring>

#include "memory/access.h"
#include "memory/shared_shadow.h"
#include "report/findings.h"
#include "report/location.h"

namespace emulator {
namespace {

constexpr int kSectorShift = 5;  // of 32 bytes
constexpr int kAllWritten = 0x01;

// Distinct sectors of an access whose lanes each lie within one.
int count_sectors(const Access& access) {
  uint64_t sectors[kWarpLanes];
  bool sorted = true;
  int changes = 1;
  for (int lane = 0; lane < kWarpLanes; ++lane)
    sectors[lane] = access.address[lane] >> kSectorShift;
  for (int lane = 1; lane < kWarpLanes; ++lane) {
    sorted &= sectors[lane - 1] <= sectors[lane];
    changes += sectors[lane - 1] != sectors[lane];
  }
  if (sorted) return changes;
  std::sort(sectors, sectors + kWarpLanes);
  return static_cast<int>(std::unique(sectors, sectors + kWarpLanes) - sectors);
}

bool all_written(const uint8_t* written, int64_t bytes) {
  constexpr uint64_t kEight = 0x0101010101010101;
  uint64_t common = kEight;
  for (; bytes >= 8; bytes -= 8, written += 8) {
    uint64_t word;
    std::memcpy(&word, written, 8);
    common &= word;
  }
  bool all = common == kEight;
  for (; bytes > 0; --bytes, ++written) all &= *written != 0;
  return all;
}

std::string name_of(const Allocation& allocation) {
  const std::string size = std::to_string(allocation.bytes) + " bytes";
  switch (allocation.kind) {
    case Allocation::Kind::kDevice:
      return "the allocation of " + size;
    case Allocation::Kind::kHost:
      return "the pinned host allocation of " + size;
    case Allocation::Kind::kManaged:
      return "the managed allocation of " + size;
    case Allocation::Kind::kRegistered:
      return "the registered host range of " + size;
    case Allocation::Kind::kVariable:
      return "variable '" + readable_name(allocation.name) + "' of " + size;
  }
  return size;
}

std::string text_of(uint64_t address) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (; address != 0; address >>= 4) text.insert(text.begin(), kDigits[address & 0xF]);
  return "0x" + (text.empty() ? "0" : text);
}

// Addresses this close to an allocation are taken for a slip of an index into it.
constexpr uint64_t kNear = uint64_t{1} << 32;

void report_outside(const Access& access, LaneMask lanes) {
  const uint64_t address = access.address[std::countr_zero(lanes)];
  const Allocation* nearest = access.warp.cta().launch.memory->nearest(address);
  std::string message = describe(access);
  if (nearest == nullptr) {
    report(FindingKind::kOutOfBounds, access.site(lanes), address,
           message +
               ": no allocation exists (device access to unregistered host memory, or no pointer "
               "at all)");
    return;
  }
  const uint64_t end = nearest->address + nearest->bytes;
  const bool inside = address >= nearest->address && address < end;
  if (nearest->freed && nearest->contains(address, access.bytes)) {
    report(FindingKind::kUseAfterFree, access.site(lanes), address,
           message + ", " + std::to_string(address - nearest->address) + " bytes into " +
               name_of(*nearest) + " at " + text_of(nearest->address) + ", which was freed");
    return;
  }
  if (address < nearest->address && nearest->address - address <= kNear) {
    message += ", " + std::to_string(nearest->address - address) + " bytes before ";
  } else if (inside) {
    message += " that ends " + std::to_string(address + access.bytes - end) + " bytes beyond ";
  } else if (address >= end && address - end <= kNear) {
    message += ", " + std::to_string(address - end) + " bytes beyond the end of ";
  } else {
    report(FindingKind::kOutOfBounds, access.site(lanes), address,
           message + ": device access to unregistered host memory, or no pointer at all");
    return;
  }
  report(FindingKind::kOutOfBounds, access.site(lanes), address,
         message + name_of(*nearest) + " at " + text_of(nearest->address) +
             (nearest->freed ? ", which was freed" : ""));
}

void report_unwritten(const Access& access, LaneMask lanes, const Allocation& allocation) {
  const uint64_t address = access.address[std::countr_zero(lanes)];
  report(FindingKind::kUninitialised, access.site(lanes), address,
         describe(access) + " that nothing has written, " +
             std::to_string(address - allocation.address) + " bytes into " + name_of(allocation) +
             " at " + text_of(allocation.address));
}

// Lane by lane: several allocations, or findings.
void resolve_scattered(Access& access, Places& places) {
  const GlobalMemory& memory = *access.warp.cta().launch.memory;
  const LaneMask misaligned = report_misaligned(access);
  LaneMask outside = 0, unwritten = 0;
  const Allocation* unwritten_in = nullptr;
  for_lanes(access.active, [&](int lane) {
    places.lane[lane] = stand_in(access.intent);
    const LaneMask bit = 1u << lane;
    if ((misaligned & bit) != 0) return;
    const Allocation* allocation = memory.find(access.address[lane]);
    if (allocation == nullptr || !allocation->contains(access.address[lane], access.bytes)) {
      outside |= bit;
      return;
    }
    const uint64_t offset = access.address[lane] - allocation->address;
    places.lane[lane] = allocation->data + offset;
    places.valid |= bit;
    if (allocation->written == nullptr) return;
    if (access.intent == Intent::kWrite) {
      std::memset(allocation->written + offset, kAllWritten, access.bytes);
    } else if (!all_written(allocation->written + offset, access.bytes)) {
      if (unwritten == 0) unwritten_in = allocation;
      unwritten |= bit;
    }
  });
  if (outside != 0) report_outside(access, outside);
  if (unwritten != 0) report_unwritten(access, unwritten, *unwritten_in);
}

template <int kBytes>
LaneMask unwritten_lanes(const Access& access, const Allocation& allocation) {
  const uint8_t* written = allocation.written;
  LaneMask unwritten = 0;
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const uint8_t* own = written + (access.address[lane] - allocation.address);
    unwritten |= LaneMask{!all_written(own, kBytes)} << lane;
  }
  return unwritten & access.active;
}

LaneMask unwritten_lanes(const Access& access, const Allocation& allocation) {
  switch (access.bytes) {
    case 1:
      return unwritten_lanes<1>(access, allocation);
    case 2:
      return unwritten_lanes<2>(access, allocation);
    case 4:
      return unwritten_lanes<4>(access, allocation);
    case 8:
      return unwritten_lanes<8>(access, allocation);
    case 16:
      return unwritten_lanes<16>(access, allocation);
  }
  LaneMask unwritten = 0;
  for_lanes(access.active, [&](int lane) {
    const uint8_t* own = allocation.written + (access.address[lane] - allocation.address);
    if (!all_written(own, access.bytes)) unwritten |= 1u << lane;
  });
  return unwritten;
}

void check_written(const Access& access, const Allocation& allocation) {
  uint8_t* first = allocation.written + (access.low - allocation.address);
  const int64_t span = kWarpLanes * int64_t{access.bytes};
  if (access.intent == Intent::kWrite) {
    if (access.contiguous) {
      std::memset(first, kAllWritten, span);
    } else {
      for_lanes(access.active, [&](int lane) {
        std::memset(first + (access.address[lane] - access.low), kAllWritten, access.bytes);
      });
    }
    return;
  }
  if (access.contiguous && all_written(first, span)) return;
  const LaneMask unwritten = unwritten_lanes(access, allocation);
  if (unwritten != 0) report_unwritten(access, unwritten, allocation);
}

}  // namespace

void resolve_global(Access& access, Places& places) {
  OpCounters& counters = access.counters();
  counters.requested_bytes += static_cast<uint64_t>(std::popcount(access.active)) * access.bytes;
  counters.sectors += access.contiguous ? ((access.high + access.bytes - 1) >> kSectorShift) -
                                              (access.low >> kSectorShift) + 1
                                        : count_sectors(access);
  // A flag is one address; data that lanes touch side by side orders nothing.
  if (access.strong && access.low == access.high) synchronise(access.warp, access.low);

  const Allocation* allocation = access.warp.cta().launch.memory->find(access.low);
  if (allocation == nullptr || !access.is_aligned() ||
      !allocation->contains(access.low, access.high - access.low + access.bytes)) {
    return resolve_scattered(access, places);
  }
  if (allocation->written != nullptr) check_written(access, *allocation);
  places.valid = access.active;
  std::byte* data = allocation->data + (access.low - allocation->address);
  if (access.contiguous) {
    places.first = data;
    return;
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    places.lane[lane] = data + (access.address[lane] - access.low);
  }
}

}  // namespace emulator
