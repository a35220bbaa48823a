// Runs a few PTX instructions on one warp, through the real parser, decoder and handlers.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
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

namespace emulator::test {

template <typename T>
using PerLane = std::array<T, kWarpLanes>;

struct NoSymbols : SymbolTable {
  uint64_t address_of(std::string_view name) const override {
    throw std::out_of_range(std::string(name));
  }
};

class Snippet {
 public:
  // `body`: declarations of registers, then instructions without branches.
  explicit Snippet(const std::string& body)
      : module_(ptx::parse(".version 9.0\n.target sm_89\n.address_size 64\n"
                           ".visible .entry snippet() {\n" +
                               body + "\nret;\n}\n",
                           "snippet")),
        kernel_(*module_->find("snippet")),
        builder_(*module_, kernel_, symbols_) {
    FunctionDecoder(builder_, 0).decode_body();
    launch_.program = &builder_.program();
    launch_.block.x = kWarpLanes;
    cta_ = std::make_unique<Cta>(launch_, Dim3{0, 0, 0}, 0, counters_);
  }

  Warp& warp() { return *cta_->warps.front(); }
  const std::vector<Op>& ops() { return builder_.program().ops; }

  template <typename T>
  void set(std::string_view name, const PerLane<T>& values) {
    const int32_t offset = offset_of(name);
    if constexpr (std::is_same_v<T, bool>) {
      warp().predicate(offset) = 0;
      for (int lane = 0; lane < kWarpLanes; ++lane) {
        warp().predicate(offset) |= LaneMask{values[lane]} << lane;
      }
    } else {
      for (int lane = 0; lane < kWarpLanes; ++lane) {
        uint64_t bits = 0;
        std::memcpy(&bits, &values[lane], sizeof(T));
        if (sizeof(T) == 8) {
          warp().u64(offset)[lane] = bits;
        } else {
          warp().u32(offset)[lane] = static_cast<uint32_t>(bits);
        }
      }
    }
  }

  template <typename T>
  PerLane<T> get(std::string_view name) {
    const int32_t offset = offset_of(name);
    PerLane<T> values;
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      if constexpr (std::is_same_v<T, bool>) {
        values[lane] = warp().predicate(offset) >> lane & 1;
      } else {
        const uint64_t bits =
            sizeof(T) == 8 ? warp().u64(offset)[lane] : uint64_t{warp().u32(offset)[lane]};
        std::memcpy(&values[lane], &bits, sizeof(T));
        constexpr int kBits = sizeof(T) < 4 ? 8 * sizeof(T) : 0;
        if (kBits != 0 && bits >> kBits != 0) {
          throw std::logic_error("the upper part of a narrow register is not zero");
        }
      }
    }
    return values;
  }

  void run(LaneMask active = kAllLanes) {
    for (const Op& op : ops()) {
      if (op.handler != nullptr) op.handler(warp(), op, active);
    }
  }

 private:
  int32_t offset_of(std::string_view name) const {
    for (size_t i = 0; i < kernel_.registers.size(); ++i) {
      if (kernel_.registers[i].name == name) {
        return builder_.register_offset(0, static_cast<int>(i));
      }
    }
    throw std::out_of_range(std::string(name));
  }

  NoSymbols symbols_;
  std::unique_ptr<ptx::Module> module_;
  const ptx::Function& kernel_;
  ProgramBuilder builder_;
  Launch launch_;
  WorkerCounters counters_;
  std::unique_ptr<Cta> cta_;
};

template <typename T>
std::string_view register_type() {
  if constexpr (std::is_same_v<T, bool>) return ".pred";
  if constexpr (std::is_same_v<T, float>) return ".f32";
  if constexpr (std::is_same_v<T, double>) return ".f64";
  if constexpr (sizeof(T) == 2) return ".b16";
  if constexpr (sizeof(T) == 4) return ".b32";
  return ".b64";
}

// d of `opcode d, sources...;` with the C++ types as register types. Every lane gets the same
// operands; a run with half of the lanes must leave the others as they were.
template <typename D, typename... S>
D apply(std::string_view opcode, S... sources) {
  std::string declarations = ".reg " + std::string(register_type<D>()) + " d;\n";
  std::string instruction = std::string(opcode) + " d";
  int i = 0;
  const auto declare = [&](std::string_view type) {
    const std::string name = "s" + std::to_string(i++);
    declarations += ".reg " + std::string(type) + " " + name + ";\n";
    instruction += ", " + name;
  };
  (declare(register_type<S>()), ...);
  Snippet snippet(declarations + instruction + ";");
  i = 0;
  const auto set = [&](auto value) {
    PerLane<decltype(value)> values;
    values.fill(value);
    snippet.set("s" + std::to_string(i++), values);
  };
  (set(sources), ...);

  PerLane<D> before;
  std::memset(&before, 0, sizeof before);
  snippet.set("d", before);
  constexpr LaneMask kOddLanes = 0xAAAAAAAA;
  snippet.run(kOddLanes);
  const PerLane<D> half = snippet.get<D>("d");
  snippet.run();
  const PerLane<D> full = snippet.get<D>("d");
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if (std::memcmp(&full[lane], &full[0], sizeof(D)) != 0 ||
        std::memcmp(&half[lane], lane % 2 ? &full[0] : &before[0], sizeof(D)) != 0) {
      throw std::logic_error(instruction + ": lanes differ");
    }
  }
  return full[0];
}

// Whether the decoder refuses an instruction; registers: %p, %h, %r, %f, %rd, %fd, numbered 0 to 9.
inline bool is_refused(const std::string& instruction) {
  try {
    Snippet(
        ".reg .pred %p<10>; .reg .b16 %h<10>; .reg .b32 %r<10>; .reg .f32 %f<10>;\n"
        ".reg .b64 %rd<10>; .reg .f64 %fd<10>;\n" +
        instruction);
    return false;
  } catch (const UnknownInstruction&) {
    return true;
  }
}

}  // namespace emulator::test
