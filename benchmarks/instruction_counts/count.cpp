// Runs the CPU kernels one by one, so that their instructions can be counted, in one of two ways:
//
//   valgrind --tool=callgrind --callgrind-out-file=OUT count ISA   one profile for each run, named
//   count ISA   single-steps through itself (Linux's ptrace): any instruction set of this machine
//
// Without valgrind it prints a line "case m k instructions" for each run. Everything is on one
// thread. Exit status 77: this machine lacks the instruction set, or lets nobody single-step.
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu/cpu_props.h"
#include "format/format.h"
#include "gemm.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else  // no valgrind here to count under
#define RUNNING_ON_VALGRIND 0
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(label) static_cast<void>(label)
#endif

namespace sparse_gemm {
namespace {

constexpr int kCannotCount = 77;

struct Extents {
  int64_t m;
  int64_t k;
};

struct Run {
  std::string name;
  Extents extents;
  std::function<void()> call;

  std::string label() const {
    return name + " " + std::to_string(extents.m) + " " + std::to_string(extents.k);
  }
};

[[noreturn]] void fail(const char* what, int status) {
  std::perror(what);
  std::exit(status);
}

// A 2:4 matrix whose groups keep every pair of places in turn, compressed and dense; memory for
// activations and results. The values are small integers: no kernel's work depends on them.
struct Operands {
  std::vector<std::byte> values;
  std::vector<uint8_t> metadata;
  std::vector<std::byte> dense;
  std::vector<std::byte> out;

  Operands(DType dtype, Extents extents, int64_t n) {
    constexpr uint8_t kNibbles[6] = {0x4, 0x8, 0xC, 0x9, 0xD, 0xE};
    const auto bytes = static_cast<size_t>(bytes_of(dtype));
    const auto elements = static_cast<size_t>(extents.m * extents.k);
    values.assign(elements / 2 * bytes, std::byte{1});
    metadata.resize(elements / 8);
    for (size_t i = 0; i < metadata.size(); ++i) {
      metadata[i] = static_cast<uint8_t>(kNibbles[i % 6] | kNibbles[i / 6 % 6] << 4);
    }
    dense.resize(elements * bytes);
    out.resize(std::max(dense.size(), static_cast<size_t>(extents.m * n) * 4));
    format::decompress(
        {values.data(), metadata.data(), dtype, Pattern::k2of4, extents.m, extents.k}, dense.data(),
        {});
  }
};

// D = A @ B for n tokens, as `linear` has it: B and D are views of row-major matrices of tokens.
// On cores of other makers than Intel, or on its.
Run linear_run(DType dtype, int64_t n, Extents extents, Isa isa, bool intel_core = false) {
  const auto operands = std::make_shared<Operands>(dtype, extents, n);
  const auto x = std::make_shared<std::vector<std::byte>>(
      static_cast<size_t>(n * extents.k * bytes_of(dtype)), std::byte{1});
  const auto call = [=] {
    Problem problem;
    problem.m = extents.m;
    problem.n = n;
    problem.k = extents.k;
    problem.a.values = operands->values.data();
    problem.a.metadata = operands->metadata.data();
    problem.a.dtype = dtype;
    problem.b = {x->data(), dtype, 1, extents.k};
    const bool is_int8 = dtype == DType::kInt8;
    problem.d = {operands->out.data(), is_int8 ? DType::kInt32 : dtype, 1, extents.m};
    if (!run_gemm(problem, {isa, 1, intel_core}).is_ok()) fail("run_gemm", EXIT_FAILURE);
  };
  const std::string core = intel_core ? "-intel-" : "-";
  return {"linear-" + std::string(name_of(dtype)) + core + std::to_string(n), extents, call};
}

Run format_run(const char* name, DType dtype, Extents extents, Isa isa) {
  const auto operands = std::make_shared<Operands>(dtype, extents, 0);
  const std::string operation = name;
  const auto call = [=] {
    const format::DenseView w{operands->dense.data(), dtype, extents.m, extents.k, extents.k, 1};
    const CpuProps props{isa, 1};
    if (operation == "compress") {
      format::compress(w, Pattern::k2of4, format::Policy::kRaise, operands->values.data(),
                       operands->metadata.data(), props);
    } else if (operation == "decompress") {
      format::decompress({operands->values.data(), operands->metadata.data(), dtype, Pattern::k2of4,
                          extents.m, extents.k},
                         operands->out.data(), props);
    } else if (operation == "check") {
      format::check(w, Pattern::k2of4, props);
    } else {
      format::prune(w, Pattern::k2of4, operands->out.data(), props);
    }
  };
  return {operation + "-" + std::string(name_of(dtype)), extents, call};
}

// Every case at four sizes: what is left of m * k after differences of differences is the inner
// loop, without planning, packing and epilogue.
std::vector<Run> all_runs(Isa isa) {
  std::vector<Run> runs;
  for (DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kInt8}) {
    for (Extents extents : {Extents{16, 1024}, {32, 1024}, {16, 2048}, {32, 2048}}) {
      runs.push_back(linear_run(dtype, 1, extents, isa));
    }
    for (Extents extents : {Extents{8, 128}, {16, 128}, {8, 256}, {16, 256}}) {
      runs.push_back(linear_run(dtype, 64, extents, isa));
    }
    if (dtype == DType::kInt8 && isa >= Isa::kAvx512Vnni) {
      for (Extents extents : {Extents{8, 512}, {16, 512}, {8, 1024}, {16, 1024}}) {
        runs.push_back(linear_run(dtype, 64, extents, isa, true));
      }
    }
    if (dtype == DType::kFloat16) continue;  // to the format it is bfloat16
    for (const char* name : {"compress", "decompress", "check", "prune"}) {
      for (Extents extents : {Extents{2, 1024}, {4, 1024}, {2, 2048}, {4, 2048}}) {
        runs.push_back(format_run(name, dtype, extents, isa));
      }
    }
  }
  return runs;
}

void profile(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    const std::string label = run.label();
    run.call();  // what is done once, such as looking up symbols, is not counted
    CALLGRIND_ZERO_STATS;
    run.call();
    CALLGRIND_DUMP_STATS_AT(label.c_str());
  }
}

// What is counted: each run lies between two signals.
[[noreturn]] void run_traced(const std::vector<Run>& runs) {
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) fail("ptrace", kCannotCount);
  for (const Run& run : runs) {
    run.call();
    raise(SIGUSR1);
    run.call();
    raise(SIGUSR1);
  }
  _exit(EXIT_SUCCESS);
}

// Lets `child` go on until it stops, and returns the signal it stopped for.
int resume(pid_t child, __ptrace_request request) {
  int status = 0;
  if (ptrace(request, child, nullptr, nullptr) != 0) fail("ptrace", kCannotCount);
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) fail("child", EXIT_FAILURE);
  return WSTOPSIG(status);
}

int64_t count_steps(pid_t child) {
  int64_t steps = 0;
  while (resume(child, PTRACE_SINGLESTEP) == SIGTRAP) ++steps;
  return steps;
}

void step_through(const std::vector<Run>& runs) {
  const pid_t child = fork();
  if (child == 0) run_traced(runs);
  int status = 0;
  if (waitpid(child, &status, 0) != child) fail("child", EXIT_FAILURE);
  if (!WIFSTOPPED(status)) std::exit(kCannotCount);
  for (const Run& run : runs) {
    std::printf("%s %lld\n", run.label().c_str(), static_cast<long long>(count_steps(child)));
    if (&run != &runs.back()) resume(child, PTRACE_CONT);
  }
  kill(child, SIGKILL);
}

Isa isa_named(const char* name) {
  for (int i = 0; i < kNumIsas; ++i) {
    if (kIsaNames[i] == name && cpu::isa_available(static_cast<Isa>(i))) return static_cast<Isa>(i);
  }
  std::fprintf(stderr, "%s is not available\n", name);
  std::exit(kCannotCount);
}

}  // namespace
}  // namespace sparse_gemm

int main(int argc, char** argv) {
  using namespace sparse_gemm;
  if (argc == 2 && std::strcmp(argv[1], "--compiler") == 0) {
    std::puts(__VERSION__);
    return EXIT_SUCCESS;
  }
  if (argc != 2) return EXIT_FAILURE;
  const std::vector<Run> runs = all_runs(isa_named(argv[1]));
  if (RUNNING_ON_VALGRIND != 0) {
    profile(runs);
  } else {
    step_through(runs);
  }
  return EXIT_SUCCESS;
}
