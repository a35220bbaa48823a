// A kernel whose instructions a test runs one by one, in whatever order of warps it wants.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "execute/barriers.h"
#include "execute/control_flow.h"
#include "execute/function_decoder.h"
#include "execute/launch.h"
#include "execute/program_builder.h"
#include "execute/warp.h"
#include "memory/async_copies.h"
#include "report/findings.h"

namespace emulator::test {

struct Symbols : SymbolTable {
  uint64_t address = 0;
  uint64_t address_of(std::string_view) const override { return address; }
};

inline constexpr const char* kRegisters =
    ".reg .pred p<8>; .reg .b16 h<8>; .reg .b32 r<16>; .reg .b64 rd<16>; .reg .f32 f<8>;"
    ".reg .f64 fd<4>; .reg .b128 q<4>;\n";

class MemoryKernel {
 public:
  // `body`: variables and instructions, one after the other as step() numbers them.
  explicit MemoryKernel(const std::string& body, int num_warps = 1, int64_t dynamic_bytes = 0,
                        uint64_t seed = 0)
      : module_(ptx::parse(".version 9.0\n.target sm_80\n.address_size 64\n"
                           ".visible .entry kernel(.param .u64 pointer, .param .u32 count) {\n" +
                               std::string(kRegisters) + body + "\nret;\n}\n",
                           "memory_kernel")),
        kernel_(*module_->find("kernel")),
        builder_(*module_, kernel_, symbols_) {
    FunctionDecoder(builder_, 0).decode_body();
    std::vector<Op>& ops = builder_.program().ops;
    for (size_t i = 0; i < ops.size(); ++i) ops[i].id = static_cast<int32_t>(i);
    counters_.ops.resize(ops.size());
    launch_.program = &builder_.program();
    launch_.memory = &memory;
    launch_.block.x = num_warps * kWarpLanes;
    launch_.dynamic_shared_bytes = dynamic_bytes;
    launch_.parameters.resize(builder_.program().parameter_bytes);
    cta_ = std::make_unique<Cta>(launch_, Dim3{0, 0, 0}, seed, counters_);
  }

  Cta& cta() { return *cta_; }
  Warp& warp(int index = 0) { return *cta_->warps[index]; }
  const Program& program() { return builder_.program(); }
  std::vector<std::byte>& parameters() { return launch_.parameters; }
  OpCounters& counters(int instruction) { return counters_.ops[instruction]; }

  void step(int instruction, int warp_index = 0, LaneMask active = kAllLanes) {
    const Op& op = builder_.program().ops[instruction];
    op.handler(warp(warp_index), op, active);
  }

  // What bar.sync does to the order of these warps.
  void barrier(std::initializer_list<int> warps) {
    SyncClock clock;
    for (int index : warps) cta_->clocks.release(index, clock);
    for (int index : warps) cta_->clocks.acquire(index, clock);
  }

  // A register of a warp, by what lane gives.
  template <typename F>
  void set(std::string_view name, F value, int warp_index = 0) {
    using T = decltype(value(0));
    for (int lane = 0; lane < kWarpLanes; ++lane) put<T>(name, warp_index, lane, value(lane));
  }
  void set_predicate(std::string_view name, LaneMask mask, int warp_index = 0) {
    warp(warp_index).predicate(offset_of(name)) = mask;
  }
  LaneMask predicate(std::string_view name, int warp_index = 0) {
    return warp(warp_index).predicate(offset_of(name));
  }
  template <typename T>
  T get(std::string_view name, int lane, int warp_index = 0) {
    uint64_t bits = slot_bytes(name) == 8 ? warp(warp_index).u64(offset_of(name))[lane]
                                          : warp(warp_index).u32(offset_of(name))[lane];
    if (slot_bytes(name) == 16) bits = warp(warp_index).u64(offset_of(name))[2 * lane];
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    return value;
  }

  GlobalMemory memory;

 private:
  int index_of(std::string_view name) const {
    for (size_t i = 0; i < kernel_.registers.size(); ++i) {
      if (kernel_.registers[i].name == name) return static_cast<int>(i);
    }
    throw std::out_of_range(std::string(name));
  }
  int32_t offset_of(std::string_view name) const {
    return builder_.register_offset(0, index_of(name));
  }
  int slot_bytes(std::string_view name) const {
    const int bits = ptx::bits_of(kernel_.registers[index_of(name)].type);
    return bits <= 32 ? 4 : bits / 8;
  }
  template <typename T>
  void put(std::string_view name, int warp_index, int lane, T value) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    if (slot_bytes(name) == 4) {
      warp(warp_index).u32(offset_of(name))[lane] = static_cast<uint32_t>(bits);
    } else {
      const int step = slot_bytes(name) / 8;
      warp(warp_index).u64(offset_of(name))[step * lane] = bits;
    }
  }

  Symbols symbols_;
  std::unique_ptr<ptx::Module> module_;
  const ptx::Function& kernel_;
  ProgramBuilder builder_;
  Launch launch_;
  WorkerCounters counters_;
  std::unique_ptr<Cta> cta_;
};

// The texts of all findings since the last call.
inline std::string take_findings() {
  std::string all;
  for (const std::string& text : finding_texts()) all += text + "\n";
  clear_findings();
  return all;
}
inline bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}
// That there is exactly one finding, of this kind, and with these words in it.
inline bool is_only(const std::string& texts, std::string_view kind,
                    std::initializer_list<std::string_view> parts = {}) {
  static constexpr std::string_view kKinds[] = {
      ": out-of-bounds: ",   ": misaligned: ",     ": uninitialised-read: ", ": race: ",
      ": unfinished-copy: ", ": use-after-free: ", ": invalid-argument: "};
  int count = 0;
  for (std::string_view other : kKinds) count += contains(texts, other);
  bool matches = count == 1 && contains(texts, ": " + std::string(kind) + ": ");
  for (std::string_view part : parts) matches &= contains(texts, part);
  return matches;
}

// Refused by the decoder?
inline bool is_refused(const std::string& instruction) {
  try {
    MemoryKernel kernel(".shared .align 16 .b8 s[1024];\n" + instruction);
    return false;
  } catch (const UnknownInstruction&) {
    return true;
  }
}

}  // namespace emulator::test
