// A warp does what each of its lanes would do alone: random flow graphs, with loops into which
// control jumps sideways, calls and early ends, run by whole warps and by warps of one lane.
#include <random>

#include "tests/check.h"
#include "tests/run_ptx.h"

namespace emulator::test {
namespace {

constexpr int kNumPrograms = 60;
constexpr uint32_t kNumThreads = 64;

class Writer {
 public:
  explicit Writer(uint64_t seed) : random_(seed) {}

  // A function, or the kernel, of `num_blocks` blocks that jump to each other as %r2's bits say,
  // until the fuel %r3 is used up.
  std::string blocks(int num_blocks, const std::string& end, bool may_call) {
    std::string text;
    for (int i = 0; i < num_blocks; ++i) {
      text += "B" + std::to_string(i) + ":\n";
      text += "mad.lo.u32 %r2, %r2, 1664525, " + std::to_string(1 + below(100000)) + ";\n";
      text += "shr.u32 %r4, %r2, 7; xor.b32 %r2, %r2, %r4;\n";
      text += "sub.u32 %r3, %r3, 1; setp.lt.s32 %p1, %r3, 1; @%p1 bra END;\n";
      if (may_call && below(4) == 0) text += call_unless("S" + std::to_string(i));
      if (below(8) == 0) text += guard(3) + "@%p3 add.u32 %r2, %r2, 77;\n";
      if (below(12) == 0) text += guard(4) + "@%p4 bra END;\n";
      if (may_call && below(16) == 0) text += guard(5) + "@%p5 exit;\n";
      if (!may_call && below(4) == 0) {
        text += guard(7) + "@%p7 st.param.b32 [f_out], %r2;\n@%p7 ret;\n";
      }
      if (below(8) == 0) {
        text += "T" + std::to_string(i) + ": .branchtargets " + block(num_blocks) + ", " +
                block(num_blocks) + ", " + block(num_blocks) + ", END;\n";
        text +=
            "shr.u32 %r4, %r2, 5; and.b32 %r4, %r4, 3;\nbrx.idx %r4, T" + std::to_string(i) + ";\n";
      } else {
        text += guard(6) + "@%p6 bra " + block(num_blocks) + ";\n";
        if (below(3) == 0) text += "bra " + block(num_blocks) + ";\n";
      }
    }
    return text + "END:\n" + end;
  }

  std::string function() {
    return ".func (.param .b32 f_out) f(.param .b32 f_in, .param .b32 f_fuel)\n{\n.reg .b32 "
           "%r<9>;\n"
           ".reg .pred %p<9>;\nld.param.u32 %r2, [f_in]; ld.param.u32 %r3, [f_fuel];\n" +
           blocks(4, "st.param.b32 [f_out], %r2; ret;\n", false) + "}\n";
  }

 private:
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  std::string block(int num_blocks) { return "B" + std::to_string(below(num_blocks)); }
  // Sets predicate `p` as a bit of %r2 says.
  std::string guard(int p) {
    return "and.b32 %r4, %r2, " + std::to_string(1u << below(16)) + "; setp.eq.u32 %p" +
           std::to_string(p) + ", %r4, 0;\n";
  }
  std::string call_unless(const std::string& label) {
    return guard(2) + "@%p2 bra " + label +
           ";\n{ .param .b32 a0; .param .b32 a1; .param .b32 r0; st.param.b32 [a0], %r2; "
           "st.param.b32 [a1], 9; call (r0), f, (a0, a1); ld.param.b32 %r2, [r0]; }\n" +
           label + ":\n";
  }

  std::mt19937_64 random_;
};

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  int num_lanes_that_stored = 0;
  for (int i = 0; i < kNumPrograms; ++i) {
    Writer writer(i);
    const std::string function = writer.function();
    const Kernel kernel(
        "mov.u32 %r2, %r1; mov.u32 %r3, 60;\n" + writer.blocks(9, kStoreResult, true), function);
    const Run alone = kernel(1, i, kNumThreads);
    const Run together = kernel(kNumThreads, i);
    CHECK(alone.finished && together.finished);
    CHECK(alone.output == together.output);
    CHECK_EQ(together.findings.size(), 0);
    for (const uint32_t value : together.output) num_lanes_that_stored += value != 0;
  }
  CHECK(num_lanes_that_stored > kNumPrograms * 32);
  return summary();
}
