// A CTA's shared memory: bytes, what was written, who read and wrote last, what is still in flight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "execute/program.h"

namespace emulator {

// Static variables first, then the dynamic part; gaps between variables belong to nobody.
class SharedMemory {
 public:
  SharedMemory(const Program& program, int64_t dynamic_bytes);
  ~SharedMemory();
  std::byte* data();
  int64_t bytes() const;

  struct Shadow;  // memory/shared_shadow.h
  Shadow& shadow() { return *shadow_; }

 private:
  std::unique_ptr<Shadow> shadow_;
};

// Where the dynamic part begins in a program with static variables.
int64_t dynamic_shared_offset(const Program& program);

}  // namespace emulator
