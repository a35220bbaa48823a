// Runs a kernel written as PTX, for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "execute/decoder.h"
#include "execute/launch.h"
#include "report/findings.h"

namespace emulator::test {

class NoSymbols : public SymbolTable {
 public:
  uint64_t address_of(std::string_view) const override { return 0; }
};

struct Run {
  bool finished = false;
  Failure failure = Failure::kNone;
  std::vector<uint32_t> output;
  std::vector<std::string> findings;
  LaunchCounters counters;
};

struct Kernel {
  // `body` stands between the braces of entry k, `functions` before it. %r<64>, %rd<16>, %p<16> are
  // declared; %rd1 holds the output's address, %r1 the thread's index in the grid.
  explicit Kernel(const std::string& body, const std::string& functions = {}) {
    const std::string text =
        ".version 9.0\n.target sm_80\n.address_size 64\n" + functions +
        ".visible .entry k(.param .u64 k_param_0)\n{\n.reg .pred %p<16>;\n.reg .b32 %r<64>;\n"
        ".reg .b64 %rd<16>;\nld.param.u64 %rd1, [k_param_0];\n"
        "mov.u32 %r1, %tid.x; mad.lo.u32 %r1, %ctaid.x, %ntid.x, %r1;\n" +
        body + "\n}\n";
    module = ptx::parse(text, "test.ptx");
    program = decode(*module, *module->find("k"), symbols);
  }

  Run operator()(uint32_t threads, uint64_t seed = 0, uint32_t ctas = 1,
                 size_t words = 1024) const {
    GlobalMemory memory;
    memory.set_capacity(uint64_t{1} << 30);
    const uint64_t address = memory.allocate(words * 4, Allocation::Kind::kDevice);
    std::memset(memory.data(address, words * 4), 0, words * 4);
    memory.mark_written(address, words * 4);
    Launch launch;
    launch.program = program.get();
    launch.memory = &memory;
    launch.grid = {ctas, 1, 1};
    launch.block = {threads, 1, 1};
    launch.settings.seed = seed;
    launch.settings.num_sms = 4;
    launch.settings.num_host_threads = 2;
    launch.parameters.resize(sizeof address);
    std::memcpy(launch.parameters.data(), &address, sizeof address);
    clear_findings();
    Run result;
    result.finished = run(launch, &result.counters, &result.failure);
    result.output.resize(words);
    std::memcpy(result.output.data(), memory.data(address, words * 4), words * 4);
    result.findings = finding_texts();
    return result;
  }

  NoSymbols symbols;
  std::unique_ptr<ptx::Module> module;
  std::unique_ptr<Program> program;
};

// Stores %r2 at the thread's place, and ends.
inline const std::string kStoreResult =
    "mul.wide.u32 %rd2, %r1, 4;\nadd.s64 %rd2, %rd1, %rd2;\nst.global.u32 [%rd2], %r2;\nret;\n";

}  // namespace emulator::test
