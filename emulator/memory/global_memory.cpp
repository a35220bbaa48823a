#include "memory/global_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <utility>

namespace emulator {
namespace {

// Device addresses are dealt out in slots: a slot belongs to at most one allocation, so finding one
// is an array access. An allocation starts at an odd multiple of cudaMalloc's alignment and not at
// that of a slot, or a kernel that relies on more alignment would pass unnoticed.
constexpr uint64_t kSlotBytes = uint64_t{1} << 20;
constexpr uint64_t kAlignment = 512;
constexpr uint64_t kReservedBase = uint64_t{1} << 44;
constexpr uint64_t kReservedBytes = uint64_t{1} << 44;

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

void* map_pages(void* where, uint64_t bytes, int protection, int flags) {
  void* pages =
      mmap(where, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}

// Zeroed pages that cost nothing until they are touched.
class Pages {
 public:
  Pages() = default;
  explicit Pages(uint64_t bytes, int protection = PROT_READ | PROT_WRITE, void* where = nullptr)
      : bytes_(bytes), data_(map_pages(where, bytes, protection, 0)) {}
  Pages(Pages&& other) noexcept
      : bytes_(other.bytes_), data_(std::exchange(other.data_, nullptr)) {}
  Pages& operator=(Pages&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~Pages() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  uint64_t bytes_ = 0;
  void* data_ = nullptr;
};

struct Record : Allocation {
  Pages pages;          // of the bytes, if they are ours
  Pages written_pages;  // of the shadow
  uint64_t slot = 0, num_slots = 0;
};

// What lies at the host's own addresses, by address.
using HostRanges = std::vector<const Record*>;

const Record* find_in(const HostRanges& ranges, uint64_t address) {
  auto after = std::upper_bound(
      ranges.begin(), ranges.end(), address,
      [](uint64_t wanted, const Record* record) { return wanted < record->address; });
  if (after == ranges.begin()) return nullptr;
  const Record* record = *(after - 1);
  return record->contains(address, 1) ? record : nullptr;
}

bool has_host_address(Allocation::Kind kind) {
  return kind == Allocation::Kind::kHost || kind == Allocation::Kind::kManaged ||
         kind == Allocation::Kind::kRegistered;
}

}  // namespace

struct GlobalMemory::State {
  std::mutex mutex;
  Pages reserved;  // holds the addresses, never touched
  uint64_t base = 0;
  uint64_t num_slots = 0;
  Pages slot_pages;
  std::atomic<Record*>* slots = nullptr;
  uint64_t next_slot = 0;
  uint64_t used = 0;

  std::map<uint64_t, std::unique_ptr<Record>> records;  // by address; freed ones too
  // Readers of a replaced list or record may be under way, so none is destroyed before the end.
  std::deque<HostRanges> host_versions;
  std::vector<std::unique_ptr<Record>> retired;
  std::atomic<const HostRanges*> host_ranges;

  State();
  uint64_t take_slots(uint64_t count);
  void retire(uint64_t address);
  void publish_host_ranges();
  Record* live_record(uint64_t address);
};

GlobalMemory::State::State() {
  uint64_t bytes = kReservedBytes;
  do {
    reserved = Pages(bytes, PROT_NONE, reinterpret_cast<void*>(kReservedBase));
    if (reserved.data() == nullptr) bytes /= 2;
  } while (reserved.data() == nullptr && bytes > kSlotBytes);
  if (reserved.data() == nullptr) throw std::bad_alloc();
  base = round_up(reinterpret_cast<uint64_t>(reserved.data()), kSlotBytes);
  num_slots = bytes / kSlotBytes - 1;
  slot_pages = Pages(num_slots * sizeof(slots[0]));
  if (slot_pages.data() == nullptr) throw std::bad_alloc();
  slots = reinterpret_cast<std::atomic<Record*>*>(slot_pages.data());
  publish_host_ranges();
}

// The first of `count` slots in a row that no live allocation has: never used ones as long as there
// are any, so that a freed range is not used again soon.
uint64_t GlobalMemory::State::take_slots(uint64_t count) {
  if (next_slot + count > num_slots) {
    next_slot = 0;
    uint64_t run = 0;
    while (run < count) {
      if (next_slot + run >= num_slots) return num_slots;
      const Record* record = slots[next_slot + run].load(std::memory_order_relaxed);
      if (record != nullptr && !record->freed) {
        next_slot = record->slot + record->num_slots;
        run = 0;
      } else {
        ++run;
      }
    }
    for (uint64_t slot = next_slot; slot < next_slot + count; ++slot) {
      const Record* record = slots[slot].exchange(nullptr);
      if (record != nullptr && records.count(record->address)) retire(record->address);
    }
  }
  return std::exchange(next_slot, next_slot + count);
}

void GlobalMemory::State::retire(uint64_t address) {
  auto place = records.find(address);
  if (place == records.end()) return;
  retired.push_back(std::move(place->second));
  records.erase(place);
}

void GlobalMemory::State::publish_host_ranges() {
  HostRanges ranges;
  for (const auto& [address, record] : records) {
    if (has_host_address(record->kind) && !record->freed) ranges.push_back(record.get());
  }
  host_versions.push_back(std::move(ranges));
  host_ranges.store(&host_versions.back(), std::memory_order_release);
}

Record* GlobalMemory::State::live_record(uint64_t address) {
  auto place = records.find(address);
  return place == records.end() || place->second->freed ? nullptr : place->second.get();
}

GlobalMemory::GlobalMemory() : state_(std::make_unique<State>()), capacity_(UINT64_MAX) {}
GlobalMemory::~GlobalMemory() = default;

uint64_t GlobalMemory::allocate(uint64_t bytes, Allocation::Kind kind, std::string name) {
  std::lock_guard lock(state_->mutex);
  const bool on_device = !has_host_address(kind);
  if (bytes == 0 || (on_device && bytes > capacity_ - std::min(capacity_, state_->used))) return 0;
  auto record = std::make_unique<Record>();
  record->bytes = bytes;
  record->kind = kind;
  record->name = std::move(name);
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  record->pages = Pages(round_up(bytes, page) + page);
  if (record->pages.data() == nullptr) return 0;
  if (on_device) {
    // As much again and a slot lie unused behind it: where an overrun of up to its size shows.
    record->num_slots = 2 * (round_up(bytes + kAlignment, kSlotBytes) / kSlotBytes);
    record->slot = state_->take_slots(record->num_slots);
    if (record->slot == state_->num_slots) return 0;
    record->address = state_->base + record->slot * kSlotBytes + kAlignment;
    record->data = record->pages.data() + kAlignment;
    for (uint64_t i = 0; i < record->num_slots; ++i) {
      state_->slots[record->slot + i].store(record.get(), std::memory_order_release);
    }
    state_->used += bytes;
  } else {
    record->data = record->pages.data();
    record->address = reinterpret_cast<uint64_t>(record->data);
    state_->retire(record->address);
  }
  if (kind == Allocation::Kind::kDevice) {
    record->written_pages = Pages(bytes);
    record->written = reinterpret_cast<uint8_t*>(record->written_pages.data());
    if (record->written == nullptr) return 0;
  }
  const uint64_t address = record->address;
  state_->records[address] = std::move(record);
  if (!on_device) state_->publish_host_ranges();
  return address;
}

bool GlobalMemory::free(uint64_t address) {
  std::lock_guard lock(state_->mutex);
  Record* record = state_->live_record(address);
  if (record == nullptr || record->kind == Allocation::Kind::kRegistered) return false;
  record->freed = true;
  if (has_host_address(record->kind)) {
    state_->publish_host_ranges();
  } else {
    state_->used -= record->bytes;
  }
  record->pages = Pages();
  record->written_pages = Pages();
  record->data = nullptr;
  record->written = nullptr;
  return true;
}

bool GlobalMemory::register_host(void* data, uint64_t bytes) {
  std::lock_guard lock(state_->mutex);
  const uint64_t address = reinterpret_cast<uint64_t>(data);
  if (bytes == 0) return false;
  for (const Record* other : *state_->host_ranges.load()) {
    if (address < other->address + other->bytes && other->address < address + bytes) return false;
  }
  state_->retire(address);
  auto record = std::make_unique<Record>();
  record->address = address;
  record->bytes = bytes;
  record->kind = Allocation::Kind::kRegistered;
  record->data = static_cast<std::byte*>(data);
  state_->records[address] = std::move(record);
  state_->publish_host_ranges();
  return true;
}

bool GlobalMemory::unregister_host(void* data) {
  std::lock_guard lock(state_->mutex);
  const uint64_t address = reinterpret_cast<uint64_t>(data);
  const Record* record = state_->live_record(address);
  if (record == nullptr || record->kind != Allocation::Kind::kRegistered) return false;
  state_->retire(address);
  state_->publish_host_ranges();
  return true;
}

const Allocation* GlobalMemory::find(uint64_t address) const {
  const uint64_t slot = (address - state_->base) / kSlotBytes;
  if (slot < state_->num_slots) {
    const Record* record = state_->slots[slot].load(std::memory_order_acquire);
    return record != nullptr && !record->freed && record->contains(address, 1) ? record : nullptr;
  }
  return find_in(*state_->host_ranges.load(std::memory_order_acquire), address);
}

const Allocation* GlobalMemory::nearest(uint64_t address) const {
  std::lock_guard lock(state_->mutex);
  const auto& records = state_->records;
  auto after = records.upper_bound(address);
  const Allocation* above = after == records.end() ? nullptr : after->second.get();
  const Allocation* below = after == records.begin() ? nullptr : std::prev(after)->second.get();
  if (above == nullptr || below == nullptr) return above == nullptr ? below : above;
  const uint64_t end = below->address + below->bytes;
  const uint64_t beyond = address < end ? 0 : address - end;
  return beyond <= above->address - address ? below : above;
}

std::byte* GlobalMemory::data(uint64_t address, uint64_t bytes) const {
  const Allocation* allocation = find(address);
  if (allocation == nullptr || !allocation->contains(address, bytes)) return nullptr;
  return allocation->data + (address - allocation->address);
}

void GlobalMemory::mark_written(uint64_t address, uint64_t bytes) {
  const Allocation* allocation = find(address);
  if (allocation == nullptr || !allocation->contains(address, bytes)) return;
  if (allocation->written != nullptr) {
    std::memset(allocation->written + (address - allocation->address), 1, bytes);
  }
}

uint64_t GlobalMemory::used_bytes() const {
  std::lock_guard lock(state_->mutex);
  return state_->used;
}

}  // namespace emulator
