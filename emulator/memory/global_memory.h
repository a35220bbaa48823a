// Global and constant memory: allocations with exact bounds and a shadow of what was written.
//
// Device addresses of allocations made here lie in a reserved range that the host cannot touch (a
// host program that dereferences a device pointer crashes, as it would with a GPU); the bytes are
// elsewhere. Host memory registered with cudaHostRegister keeps its own address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace emulator {

struct Allocation {
  enum class Kind : uint8_t { kDevice, kHost, kManaged, kRegistered, kVariable };
  uint64_t address = 0;  // as the device sees it
  uint64_t bytes = 0;    // exact, as asked for
  Kind kind = Kind::kDevice;
  bool freed = false;          // kept for messages until its range is used again
  std::byte* data = nullptr;   // its bytes, as the host process sees them
  uint8_t* written = nullptr;  // one byte a byte: 1 once written; null: counts as written
  std::string name;            // of a variable; else empty

  bool contains(uint64_t first, uint64_t count) const {
    return first >= address && count <= bytes && first - address <= bytes - count;
  }
};

// Thread-safe: lookups take no lock (launches are synchronous, the host API changes nothing
// meanwhile).
class GlobalMemory {
 public:
  GlobalMemory();
  ~GlobalMemory();

  uint64_t allocate(uint64_t bytes, Allocation::Kind kind,
                    std::string name = {});        // 0: out of memory
  bool free(uint64_t address);                     // false: no such allocation
  bool register_host(void* data, uint64_t bytes);  // false: overlaps a registered range
  bool unregister_host(void* data);

  // The live allocation that holds `address`; null if none.
  const Allocation* find(uint64_t address) const;
  // The allocation (freed ones too) nearest to an address, for messages.
  const Allocation* nearest(uint64_t address) const;
  // Host's view of [address, address+bytes); null if that is not inside one allocation.
  std::byte* data(uint64_t address, uint64_t bytes) const;
  void mark_written(uint64_t address, uint64_t bytes);

  uint64_t used_bytes() const;
  uint64_t capacity() const { return capacity_; }
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  uint64_t capacity_ = 0;
};

// Generic addresses of the other spaces: windows that no host address can lie in.
inline constexpr uint64_t kSharedWindow = 0x0100'0000'0000'0000;
inline constexpr uint64_t kLocalWindow = 0x0200'0000'0000'0000;
inline constexpr uint64_t kParamWindow = 0x0300'0000'0000'0000;
inline constexpr uint64_t kWindowMask = 0xFF00'0000'0000'0000;

}  // namespace emulator
