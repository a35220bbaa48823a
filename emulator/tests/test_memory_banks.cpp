// Wavefronts of shared memory, counted by hand.
#include "tests/check.h"
#include "tests/memory_kernel.h"

using namespace emulator;
using namespace emulator::test;

namespace {

constexpr int kBytes = 64 * 1024;
constexpr const char* kInstructions = R"(
    ld.shared.u32 r1, [r0];
    ld.shared.v2.u32 {r1, r2}, [r0];
    ld.shared.v4.u32 {r1, r2, r3, r4}, [r0];
    ld.shared.u8 r1, [r0];
    st.shared.v4.u32 [r0], {r1, r2, r3, r4};
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {r1, r2, r3, r4}, [r0];
    ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {r1, r2}, [r0];
    ldmatrix.sync.aligned.m8n8.x1.shared.b16 {r1}, [r0];
    cp.async.cg.shared.global [r0], [rd0], 16;
    atom.shared.add.u32 r1, [r0], r2;)";
enum { kLoad4, kLoad8, kLoad16, kLoad1, kStore16, kMatrix4, kMatrix2, kMatrix1, kCopy, kAtomic };

struct Counted {
  uint64_t wavefronts, conflicts;
  bool operator==(const Counted&) const = default;
};

MemoryKernel& kernel() {
  static MemoryKernel* instance = [] {
    auto* made = new MemoryKernel(kInstructions, 1, kBytes);
    // Everything is written first, lane by lane, so that no read is a finding.
    for (uint32_t base = 0; base < kBytes; base += 512) {
      made->set("r0", [&](int lane) { return base + 16u * lane; });
      made->step(kStore16);
    }
    const uint64_t source = made->memory.allocate(512, Allocation::Kind::kVariable);
    made->set("rd0", [&](int lane) { return source + 16 * lane; });
    return made;
  }();
  return *instance;
}

template <typename F>
Counted count(int instruction, F offset, LaneMask active = kAllLanes) {
  kernel().set("r0", [&](int lane) { return uint32_t(offset(lane)); });
  kernel().counters(instruction) = {};
  kernel().step(instruction, 0, active);
  const OpCounters& counters = kernel().counters(instruction);
  return {counters.wavefronts, counters.bank_conflicts};
}

void test_words() {
  CHECK((count(kLoad4, [](int lane) { return 4 * lane; }) == Counted{1, 0}));
  CHECK((count(kLoad4, [](int lane) { return 4 * lane + 100; }) == Counted{1, 0}));
  CHECK((count(kLoad4, [](int lane) { return 4 * (lane ^ 13); }) == Counted{1, 0}));
  CHECK((count(kLoad4, [](int) { return 400; }) == Counted{1, 0}));
  CHECK((count(kLoad4, [](int lane) { return 4 * (lane / 2); }) == Counted{1, 0}));
  CHECK((count(kLoad4, [](int lane) { return 8 * lane; }) == Counted{2, 1}));
  CHECK((count(kLoad4, [](int lane) { return 12 * lane; }) == Counted{1, 0}));
  CHECK((count(kLoad4, [](int lane) { return 16 * lane; }) == Counted{4, 3}));
  CHECK((count(kLoad4, [](int lane) { return 128 * lane; }) == Counted{32, 31}));
  CHECK((count(kLoad4, [](int lane) { return 132 * lane; }) == Counted{1, 0}));
  CHECK((count(kLoad4, [](int lane) { return 128 * lane; }, 0x7) == Counted{3, 2}));
  // One lane against 31 that share a word of its bank.
  CHECK((count(kLoad4, [](int lane) { return lane == 5 ? 128 : 0; }) == Counted{2, 1}));
  CHECK((count(kLoad1, [](int lane) { return lane; }) == Counted{1, 0}));
  CHECK((count(kLoad1, [](int lane) { return 2 + 4 * lane + lane % 2; }) == Counted{1, 0}));
  CHECK((count(kLoad1, [](int lane) { return 128 * (lane % 2) + lane / 2 % 4; }) == Counted{2, 1}));
  CHECK((count(kAtomic, [](int lane) { return 4 * lane; }) == Counted{1, 0}));
}

void test_wide() {
  CHECK((count(kLoad8, [](int lane) { return 8 * lane; }) == Counted{2, 0}));
  CHECK((count(kLoad8, [](int) { return 8; }) == Counted{1, 0}));
  CHECK((count(kLoad8, [](int lane) { return 8 * (lane / 2); }) == Counted{1, 0}));
  CHECK((count(kLoad8, [](int lane) { return 16 * lane; }) == Counted{4, 2}));
  CHECK((count(kLoad8, [](int lane) { return 128 * lane; }) == Counted{32, 30}));
  CHECK((count(kLoad8, [](int lane) { return 8 * lane; }, 0xFFFF) == Counted{1, 0}));
  // Each half uses half of the banks twice, each quarter too: they are not put together.
  const auto rows_of = [](int columns, int bytes) {
    return [=](int lane) {
      return lane % columns * bytes + lane / columns % 2 * 128 + lane / (2 * columns) % 2 * 64;
    };
  };
  CHECK((count(kLoad8, rows_of(8, 8)) == Counted{4, 2}));
  CHECK((count(kLoad16, rows_of(4, 16)) == Counted{8, 4}));
  CHECK((count(kLoad16, [](int lane) { return 16 * lane; }) == Counted{4, 0}));
  CHECK((count(kLoad16, [](int) { return 32; }) == Counted{1, 0}));
  CHECK((count(kLoad16, [](int lane) { return 16 * (lane % 8); }) == Counted{1, 0}));
  CHECK((count(kLoad16, [](int lane) { return 32 * lane; }) == Counted{8, 4}));
  CHECK((count(kLoad16, [](int lane) { return 128 * lane; }) == Counted{32, 28}));
  CHECK((count(kLoad16, [](int lane) { return 128 * lane + 16 * (lane % 8); }) == Counted{4, 0}));
  CHECK((count(kStore16, [](int lane) { return 16 * lane; }) == Counted{4, 0}));
  CHECK((count(kStore16, [](int lane) { return 64 * lane; }) == Counted{16, 12}));
  CHECK((count(kLoad16, [](int lane) { return 2 * lane; }, 0x01010101) == Counted{1, 0}));
  CHECK((count(kLoad16, [](int lane) { return 128 * lane; }, 0x3) == Counted{2, 1}));
}

void test_matrices() {
  const auto swizzled = [](int lane) { return 128 * lane + 16 * ((lane % 8) ^ 5); };
  const auto plain = [](int lane) { return 128 * lane; };
  CHECK((count(kMatrix4, swizzled) == Counted{4, 0}));
  CHECK((count(kMatrix4, plain) == Counted{32, 28}));
  CHECK((count(kMatrix4, [](int lane) { return 16 * lane; }) == Counted{4, 0}));
  CHECK((count(kMatrix4, [](int lane) { return 64 * lane; }) == Counted{16, 12}));
  CHECK((count(kMatrix4, [](int lane) { return 144 * lane; }) == Counted{4, 0}));
  // The same eight rows for each matrix take a wavefront each.
  CHECK((count(kMatrix4, [](int lane) { return 16 * (lane % 8); }) == Counted{4, 0}));
  CHECK((count(kMatrix2, swizzled) == Counted{2, 0}));
  CHECK((count(kMatrix2, plain) == Counted{16, 14}));
  CHECK((count(kMatrix1, swizzled) == Counted{1, 0}));
  CHECK((count(kMatrix1, plain) == Counted{8, 7}));
}

void test_copies() {
  kernel().barrier({0});
  CHECK((count(kCopy, [](int lane) { return 16 * lane; }) == Counted{4, 0}));
  CHECK((count(kCopy, [](int lane) { return 4096 + 128 * lane; }) == Counted{32, 28}));
  CHECK((count(kCopy, [](int lane) { return 8192 + 128 * lane + 16 * (lane % 8); }) ==
         Counted{4, 0}));
  CHECK_EQ(kernel().counters(kCopy).sectors, 16);
  CHECK_EQ(kernel().counters(kCopy).requested_bytes, 512);
}

}  // namespace

int main() {
  test_words();
  test_wide();
  test_matrices();
  test_copies();
  CHECK_EQ(take_findings(), std::string());
  return summary();
}
