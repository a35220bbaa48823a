// atom and red: values of every operation and type; ldmatrix through the memory it reads.
#include <cmath>
#include <thread>

#include "tests/check.h"
#include "tests/memory_kernel.h"

using namespace emulator;
using namespace emulator::test;

namespace {

// What `atom.<operation>` returns and leaves, in global and in shared memory alike.
template <typename T>
void check(const std::string& operation, const std::string& reg, T old, T b, T c, T expected,
           bool in_shared) {
  const bool cas = operation.starts_with("cas");
  const std::string place = in_shared ? "[s]" : "[rd0]";
  const std::string bits = std::to_string(8 * sizeof(T));
  MemoryKernel kernel(
      ".shared .align 8 .b8 s[8];\nst." + std::string(in_shared ? "shared" : "global") + ".b" +
      bits + " " + place + ", " + reg + "0;\natom." + (in_shared ? "shared." : "global.") +
      operation + " " + reg + "1, " + place + ", " + reg + "2" + (cas ? ", " + reg + "3;" : ";"));
  const uint64_t address = kernel.memory.allocate(8, Allocation::Kind::kDevice);
  kernel.set("rd0", [&](int) { return address; });
  if (reg == "rd") {  // the address has rd0: the value goes by another register
    kernel.memory.mark_written(address, 8);
    std::byte* place_on_host =
        in_shared ? kernel.cta().shared.data() : kernel.memory.data(address, 8);
    if (in_shared) kernel.step(0, 0, 1);
    std::memcpy(place_on_host, &old, sizeof(T));
  } else {
    kernel.set(reg + "0", [&](int) { return old; });
    kernel.step(0, 0, 1);
  }
  kernel.set(reg + "2", [&](int) { return b; });
  kernel.set(reg + "3", [&](int) { return c; });
  kernel.step(1, 0, 1);
  const std::byte* after = in_shared ? kernel.cta().shared.data() : kernel.memory.data(address, 8);
  T left;
  std::memcpy(&left, after, sizeof(T));
  const bool good = std::memcmp(&left, &expected, sizeof(T)) == 0;
  if (!good) std::cerr << "atom." << operation << (in_shared ? " (shared)" : "") << '\n';
  CHECK(good);
  CHECK_EQ(kernel.get<T>(reg + "1", 0), old);
  CHECK_EQ(take_findings(), std::string());
}

template <typename T>
void everywhere(const std::string& operation, const std::string& reg, T old, T b, T c, T expected) {
  check<T>(operation, reg, old, b, c, expected, false);
  check<T>(operation, reg, old, b, c, expected, true);
}

void test_integers() {
  everywhere<uint32_t>("and.b32", "r", 0xF0F0, 0xFF00, 0, 0xF000);
  everywhere<uint32_t>("or.b32", "r", 0xF0F0, 0xFF00, 0, 0xFFF0);
  everywhere<uint64_t>("xor.b64", "rd", 0xF0F000000000, 0xFF0000000000, 0, 0x0FF000000000);
  everywhere<uint32_t>("exch.b32", "r", 1, 2, 0, 2);
  everywhere<uint64_t>("exch.b64", "rd", 1, uint64_t{2} << 40, 0, uint64_t{2} << 40);
  everywhere<uint32_t>("cas.b32", "r", 5, 5, 9, 9);
  everywhere<uint32_t>("cas.b32", "r", 5, 6, 9, 5);
  everywhere<uint16_t>("cas.b16", "h", 5, 5, 9, 9);
  everywhere<uint64_t>("cas.b64", "rd", 5, 5, uint64_t{9} << 40, uint64_t{9} << 40);
  everywhere<uint32_t>("add.u32", "r", 0xFFFFFFFF, 2, 0, 1);
  everywhere<int32_t>("add.s32", "r", 3, -5, 0, -2);
  everywhere<uint64_t>("add.u64", "rd", 0xFFFFFFFF, 2, 0, 0x100000001);
  everywhere<uint32_t>("inc.u32", "r", 7, 8, 0, 8);
  everywhere<uint32_t>("inc.u32", "r", 8, 8, 0, 0);
  everywhere<uint32_t>("dec.u32", "r", 7, 8, 0, 6);
  everywhere<uint32_t>("dec.u32", "r", 0, 8, 0, 8);
  everywhere<uint32_t>("dec.u32", "r", 9, 8, 0, 8);
  everywhere<uint32_t>("min.u32", "r", 0xFFFFFFFF, 1, 0, 1);
  everywhere<int32_t>("min.s32", "r", -1, 1, 0, -1);
  everywhere<int32_t>("max.s32", "r", -1, 1, 0, 1);
  everywhere<uint64_t>("max.u64", "rd", 1, ~uint64_t{0}, 0, ~uint64_t{0});
  everywhere<int64_t>("min.s64", "rd", 1, -2, 0, -2);
}

void test_floats() {
  everywhere<float>("add.f32", "f", 1.5f, 0x1p-24f, 0, 1.5f);
  everywhere<double>("add.f64", "fd", 1.5, 0x1p-50, 0, 1.5 + 0x1p-50);
  // Subnormals: flushed in global memory, kept in shared memory (PTX ISA, atom).
  check<float>("add.f32", "f", 0x1p-140f, 0x1p-140f, 0, 0.0f, false);
  check<float>("add.f32", "f", 0x1p-140f, 0x1p-140f, 0, 0x1p-139f, true);
  everywhere<uint16_t>("add.noftz.f16", "h", 0x3C00, 0x0001, 0, 0x3C00);
  everywhere<uint16_t>("add.noftz.f16", "h", 0x0001, 0x0001, 0, 0x0002);
  everywhere<uint32_t>("add.noftz.f16x2", "r", 0x3C004000, 0x3C003C00, 0, 0x40004200);
}

void test_refusals() {
  for (const char* instruction :
       {"atom.global.add.noftz.bf16x2 r0, [rd0], r1;", "atom.global.add.noftz.bf16 h0, [rd0], h1;",
        "atom.global.inc.u64 rd1, [rd0], rd2;", "atom.global.add.s64 rd1, [rd0], rd2;",
        "atom.global.min.f32 f0, [rd0], f1;", "atom.global.exch.b128 q0, [rd0], q1;",
        "atom.global.cas.b128 q0, [rd0], q1, q2;",
        "atom.acq_rel.cluster.global.add.u32 r0, [rd0], r1;",
        "atom.global.add.v2.f32 {f0, f1}, [rd0], {f2, f3};", "red.global.exch.b32 [rd0], r0;",
        "atom.global.add.f16 h0, [rd0], h1;", "atom.local.add.u32 r0, [rd0], r1;",
        "red.async.relaxed.cluster.global.add.u32 [rd0], r1, [s];"}) {
    if (!is_refused(instruction)) std::cerr << "not refused: " << instruction << '\n';
    CHECK(is_refused(instruction));
  }
  for (const char* instruction :
       {"atom.acq_rel.gpu.global.add.L2::cache_hint.u32 r0, [rd0], r1, rd1;",
        "red.relaxed.sys.global.add.f64 [rd0], fd0;", "atom.and.b32 _, [rd0], r1;",
        "red.gpu.global.add.u32 [rd0], r1;"}) {
    if (is_refused(instruction)) std::cerr << "refused: " << instruction << '\n';
    CHECK(!is_refused(instruction));
  }
}

// Lanes of one warp, warps of many host threads: nothing is lost.
void test_concurrent() {
  constexpr int kThreads = 4, kRounds = 2000;
  static uint32_t counter = 0;
  const auto count = [] {
    MemoryKernel kernel("atom.global.add.u32 r0, [rd0], r1;");
    kernel.memory.register_host(&counter, sizeof(counter));
    kernel.set("rd0", [](int) { return reinterpret_cast<uint64_t>(&counter); });
    kernel.set("r1", [](int) { return 1u; });
    for (int i = 0; i < kRounds; ++i) kernel.step(0);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(count);
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(counter, kThreads * kRounds * 32);
}

void test_load_matrix() {
  MemoryKernel kernel(R"(
    .shared .align 16 .b8 s[1024];
    st.shared.v4.u32 [r0], {r1, r2, r3, r4};
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {r5, r6, r7, r8}, [r0];
    ldmatrix.sync.aligned.m8n8.x1.trans.b16 {r9}, [rd0];
    ldmatrix.sync.aligned.m8n8.x2.shared::cta.b16 {r5, r6}, [r10];)");
  // Element (row, column) of matrix m is m << 8 | row << 4 | column.
  const auto pair = [](int lane, int word) {
    const uint32_t first = (lane / 8) << 8 | (lane % 8) << 4 | 2 * word;
    return first | (first + 1) << 16;
  };
  kernel.set("r0", [](int lane) { return 16u * lane; });
  kernel.set("rd0", [](int lane) { return kSharedWindow + 16 * lane; });
  kernel.set("r10", [](int lane) { return lane < 16 ? 16u * lane : 0xFFFFFFFFu; });
  for (int word = 0; word < 4; ++word) {
    kernel.set("r" + std::to_string(1 + word), [&](int lane) { return pair(lane, word); });
  }
  for (int i = 0; i < 4; ++i) kernel.step(i);
  CHECK_EQ(take_findings(), std::string());
  CHECK_EQ(kernel.get<uint32_t>("r5", 13), 0x00330032);  // row 3, columns 2 and 3
  CHECK_EQ(kernel.get<uint32_t>("r6", 31), 0x01770176);
  CHECK_EQ(kernel.get<uint32_t>("r8", 0), 0x03010300);
  CHECK_EQ(kernel.get<uint32_t>("r9", 13), 0x00330023);  // transposed: rows 2 and 3, column 3
  CHECK_EQ(kernel.counters(3).requested_bytes, 256);
}

}  // namespace

int main() {
  test_integers();
  test_floats();
  test_refusals();
  test_concurrent();
  test_load_matrix();
  return summary();
}
