#include "memory/shared_memory.h"

#include <algorithm>
#include <bit>

#include "memory/shared_shadow.h"
#include "report/location.h"

namespace emulator {
namespace {

constexpr int kLargestGranule = 4;   // 16 bytes, the largest access
constexpr int64_t kSlack = 64;       // so that whole vectors may be read at the end
constexpr int64_t kDynamicGap = 16;  // catches what overruns the static part

}  // namespace

int64_t dynamic_shared_offset(const Program& program) {
  if (program.static_shared_bytes == 0) return 0;
  int64_t alignment = int64_t{1} << kLargestGranule;
  for (const ptx::Variable& variable : program.module->variables) {
    if (variable.space == ptx::Space::kShared && variable.is_extern) {
      alignment = std::max<int64_t>(alignment, variable.alignment);
    }
  }
  const int64_t end = program.static_shared_bytes + kDynamicGap;
  return (end + alignment - 1) / alignment * alignment;
}

SharedMemory::Shadow::Shadow(const Program& program_, int64_t dynamic_bytes)
    : program(program_),
      dynamic_begin(dynamic_shared_offset(program_)),
      bytes(dynamic_bytes > 0 ? dynamic_begin + dynamic_bytes : program_.static_shared_bytes),
      data(bytes + kSlack) {
  struct Part {
    uint64_t begin, end;
  };
  std::vector<Part> parts;
  for (const Placement& placement : program.shared) {
    parts.push_back({placement.address, placement.address + placement.variable->bytes});
  }
  if (dynamic_bytes > 0) parts.push_back({uint64_t(dynamic_begin), uint64_t(bytes)});
  uint64_t bounds = uint64_t{1} << kLargestGranule;
  for (const Part& part : parts) bounds |= part.begin | part.end;
  granule_shift = std::countr_zero(bounds);

  cells.resize((data.size() >> granule_shift) + 1, Cell{.write = kOutside});
  for (const Part& part : parts) {
    std::fill(cells_at(part.begin), cells_at(part.end), Cell{});
  }
}

void SharedMemory::Shadow::split_granules(int access_bytes) {
  const int shift = std::countr_zero(static_cast<unsigned>(access_bytes));
  if (shift >= granule_shift) return;
  const size_t parts = size_t{1} << (granule_shift - shift);
  std::vector<Cell> split(cells.size() * parts);
  for (size_t i = 0; i < cells.size(); ++i) {
    for (size_t part = 0; part < parts; ++part) {
      Cell& cell = split[i * parts + part];
      cell = cells[i];
      if ((cell.read_time & kManyReaders) != 0 && part > 0) {
        // Each part goes its own way from here on.
        const uint32_t index = take_readers();
        many_readers[index] = many_readers[cells[i].read_time & ~kManyReaders];
        cell.read_time = kManyReaders | index;
      }
    }
  }
  cells = std::move(split);
  granule_shift = shift;
}

uint32_t SharedMemory::Shadow::take_readers() {
  if (free_readers.empty()) {
    many_readers.emplace_back();
    return static_cast<uint32_t>(many_readers.size() - 1);
  }
  const uint32_t index = free_readers.back();
  free_readers.pop_back();
  many_readers[index] = {};
  return index;
}

SharedMemory::SharedMemory(const Program& program, int64_t dynamic_bytes)
    : shadow_(std::make_unique<Shadow>(program, dynamic_bytes)) {}
SharedMemory::~SharedMemory() = default;

std::byte* SharedMemory::data() {
  return shadow_->data.data();
}
int64_t SharedMemory::bytes() const {
  return shadow_->bytes;
}

void complete_copy(Warp& warp, const Op& op, LaneMask lanes, const uint32_t* offsets, int bytes,
                   uint32_t time) {
  SharedMemory::Shadow& shadow = warp.cta().shared.shadow();
  const int cells_per_lane = bytes >> shadow.granule_shift;
  const uint32_t op_id = std::min<uint32_t>(op.id, kLastOpId);
  const Cell written{stamp(warp.index(), time), 0, 0, op_id << kWriteOpShift};
  for_lanes(lanes, [&](int lane) {
    const Stamp in_flight = pending(warp.index(), lane);
    Cell* cells = shadow.cells_at(offsets[lane]);
    for (int i = 0; i < cells_per_lane; ++i) {
      if (cells[i].write == in_flight) cells[i] = written;
    }
  });
}

void acquire_flag(Warp& warp, uint64_t address) {
  const auto& flags = warp.cta().shared.shadow().flags;
  const auto flag = flags.find(address);
  if (flag != flags.end()) warp.cta().clocks.acquire(warp.index(), flag->second);
}

void release_flag(Warp& warp, uint64_t address) {
  warp.cta().clocks.release(warp.index(), warp.cta().shared.shadow().flags[address]);
}

void synchronise(Warp& warp, uint64_t address) {
  acquire_flag(warp, address);
  release_flag(warp, address);
}

std::string name_shared(const SharedMemory::Shadow& shadow, uint64_t offset) {
  // The last one that begins at or before the offset.
  const Placement* found = nullptr;
  for (const Placement& placement : shadow.program.shared) {
    if (placement.address > offset) continue;
    if (found == nullptr || placement.address > found->address) found = &placement;
  }
  const uint64_t dynamic = static_cast<uint64_t>(shadow.dynamic_begin);
  const bool in_static =
      found != nullptr && (offset < dynamic || shadow.bytes <= shadow.dynamic_begin);
  if (in_static)
    return readable_name(found->variable->name) + "+" + std::to_string(offset - found->address);
  return "dynamic shared memory+" + std::to_string(offset - dynamic);
}

}  // namespace emulator
