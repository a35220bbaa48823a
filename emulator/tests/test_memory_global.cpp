// ld and st of global and local memory and parameters: values, bounds, what was written, sectors.
#include <sys/wait.h>
#include <unistd.h>

#include <numeric>

#include "tests/check.h"
#include "tests/memory_kernel.h"

using namespace emulator;
using namespace emulator::test;

namespace {

uint64_t allocate(MemoryKernel& kernel, uint64_t bytes, bool written = true) {
  const uint64_t address = kernel.memory.allocate(bytes, Allocation::Kind::kDevice);
  if (written) kernel.memory.mark_written(address, bytes);
  return address;
}

template <typename T>
T* host(MemoryKernel& kernel, uint64_t address, uint64_t bytes) {
  return reinterpret_cast<T*>(kernel.memory.data(address, bytes));
}

void test_allocations() {
  GlobalMemory memory;
  memory.set_capacity(1 << 20);
  const uint64_t a = memory.allocate(100, Allocation::Kind::kDevice);
  const uint64_t b = memory.allocate(1000, Allocation::Kind::kDevice);
  CHECK(a % 256 == 0 && b % 256 == 0 && a % 1024 != 0);
  CHECK_EQ(memory.used_bytes(), 1100);
  CHECK_EQ(memory.allocate(1 << 20, Allocation::Kind::kDevice), 0);
  CHECK(memory.find(a) != nullptr && memory.find(a + 99) != nullptr);
  CHECK(memory.find(a + 100) == nullptr && memory.find(a - 1) == nullptr);
  CHECK(memory.data(a, 100) != nullptr && memory.data(a, 101) == nullptr);
  CHECK(memory.free(a) && !memory.free(a) && !memory.free(b + 1));
  CHECK(memory.find(a) == nullptr);
  CHECK(memory.nearest(a + 10)->freed);
  CHECK(memory.allocate(100, Allocation::Kind::kDevice) != a);
  alignas(16) char array[64];
  CHECK(memory.register_host(array, 32) && memory.register_host(array + 32, 32));
  CHECK(!memory.register_host(array + 16, 8));
  CHECK(memory.find(reinterpret_cast<uint64_t>(array + 31)) !=
        memory.find(reinterpret_cast<uint64_t>(array + 32)));
  CHECK(memory.unregister_host(array) && !memory.unregister_host(array));
  CHECK(memory.find(reinterpret_cast<uint64_t>(array)) == nullptr);
  const uint64_t managed = memory.allocate(10, Allocation::Kind::kManaged);
  CHECK(reinterpret_cast<uint64_t>(memory.data(managed, 10)) == managed);
}

// Far more than there is room for at once, were freed ranges not used again.
void test_many_allocations() {
  GlobalMemory memory;
  uint64_t last = 0, previous = 0;
  bool all = true, reused_soon = false;
  for (int i = 0; i < 1000; ++i) {
    last = memory.allocate(uint64_t{40} << 30, Allocation::Kind::kDevice);
    all &= last != 0 && memory.find(last + 1) != nullptr;
    reused_soon |= last == previous;
    previous = last;
    all &= memory.free(last) && memory.find(last) == nullptr;
  }
  CHECK(all && !reused_soon);
}

void test_host_cannot_touch_device_memory() {
  GlobalMemory memory;
  const uint64_t address = memory.allocate(64, Allocation::Kind::kDevice);
  const pid_t child = fork();
  if (child == 0) {
    *reinterpret_cast<volatile char*>(address) = 1;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);  // the latter: under a sanitizer
}

void test_types() {
  MemoryKernel kernel(R"(
    ld.global.u8 r0, [rd0];
    ld.global.s8 r1, [rd0];
    ld.global.s8 rd1, [rd0];
    ld.global.s8 h0, [rd0];
    ld.global.s16 r2, [rd0];
    ld.global.b16 h1, [rd0];
    ld.global.s32 rd2, [rd0];
    ld.global.u32 rd3, [rd0];
    ld.global.b64 rd4, [rd0];
    ld.global.b128 q0, [rd0];
    ld.global.v4.u8 {r3, _, r4, r5}, [rd0];
    ld.global.nc.L1::no_allocate.L2::256B.v2.u64 {rd5, rd6}, [rd0];
    st.global.u8 [rd7], r0;
    st.global.v2.b16 [rd7+4], {h1, h0};
    st.global.v4.b32 [rd7+16], {r0, r1, 7, r2};
    st.global.b32 [rd7+32], rd4;
    st.global.b128 [rd7+48], q0;)");
  const uint64_t from = allocate(kernel, 64), to = allocate(kernel, 64 * 32);
  auto* bytes = host<uint8_t>(kernel, from, 64);
  std::iota(bytes, bytes + 64, 0xF0);
  kernel.set("rd0", [&](int) { return from; });
  kernel.set("rd7", [&](int lane) { return to + 64 * lane; });
  for (int i = 0; i < 17; ++i) kernel.step(i);
  CHECK_EQ(take_findings(), std::string());
  CHECK_EQ(kernel.get<uint32_t>("r0", 5), 0xF0);
  CHECK_EQ(kernel.get<uint32_t>("r1", 5), 0xFFFFFFF0u);
  CHECK_EQ(kernel.get<uint64_t>("rd1", 5), 0xFFFFFFFFFFFFFFF0u);
  CHECK_EQ(kernel.get<uint32_t>("h0", 5), 0xFFF0);
  CHECK_EQ(kernel.get<uint32_t>("r2", 5), 0xFFFFF1F0u);
  CHECK_EQ(kernel.get<uint32_t>("h1", 5), 0xF1F0);
  CHECK_EQ(kernel.get<uint64_t>("rd2", 5), 0xFFFFFFFFF3F2F1F0u);
  CHECK_EQ(kernel.get<uint64_t>("rd3", 5), 0xF3F2F1F0u);
  CHECK_EQ(kernel.get<uint64_t>("rd4", 5), 0xF7F6F5F4F3F2F1F0u);
  CHECK_EQ(kernel.get<uint32_t>("r4", 5), 0xF2);
  CHECK_EQ(kernel.get<uint64_t>("rd6", 5), 0xFFFEFDFCFBFAF9F8u);
  const auto* out = host<uint8_t>(kernel, to, 2048) + 64 * 31;
  CHECK_EQ(out[0], 0xF0);
  CHECK(out[4] == 0xF0 && out[5] == 0xF1 && out[6] == 0xF0 && out[7] == 0xFF);
  CHECK(out[20] == 0xF0 && out[23] == 0xFF && out[24] == 7 && out[28] == 0xF0 && out[29] == 0xF1);
  CHECK(out[32] == 0xF0 && out[35] == 0xF3 && out[36] == 0);
  CHECK(std::memcmp(out + 48, bytes, 16) == 0);
}

void test_partial_warp() {
  MemoryKernel kernel("ld.global.u32 r0, [rd0];\nst.global.u32 [rd0], r1;");
  const uint64_t address = allocate(kernel, 128);
  auto* words = host<uint32_t>(kernel, address, 128);
  std::iota(words, words + 32, 100);
  kernel.set("rd0", [&](int lane) { return lane % 2 == 0 ? address + 4 * lane : uint64_t{1}; });
  kernel.set("r0", [](int) { return 7u; });
  kernel.set("r1", [](int lane) { return 1000u + lane; });
  kernel.step(0, 0, 0x55555555);
  kernel.step(1, 0, 0x11111111);
  CHECK_EQ(take_findings(), std::string());
  CHECK(kernel.get<uint32_t>("r0", 30) == 130 && kernel.get<uint32_t>("r0", 31) == 7);
  CHECK(words[28] == 1028 && words[30] == 130 && words[29] == 129);
}

void test_bounds() {
  MemoryKernel kernel(
      "ld.global.u32 r0, [rd0];\nst.global.u32 [rd0], r1;\nld.global.u8 r0, [rd0];");
  const uint64_t address = allocate(kernel, 126);  // the last word lacks two bytes
  auto* words = host<uint32_t>(kernel, address, 126);
  std::iota(words, words + 31, 100);
  kernel.set("r1", [](int lane) { return 1000u + lane; });
  kernel.set("rd0", [&](int lane) { return address + 4 * lane; });
  kernel.step(0);
  CHECK(is_only(take_findings(), "out-of-bounds",
                {"ends 2 bytes beyond the allocation of 126 bytes", "lane 31"}));
  CHECK(kernel.get<uint32_t>("r0", 31) == 0 && kernel.get<uint32_t>("r0", 30) == 130);
  kernel.step(1);
  CHECK(is_only(take_findings(), "out-of-bounds", {"write of 4 bytes", "lane 31"}));
  CHECK(words[30] == 1030);
  CHECK_EQ(kernel.memory.data(address, 126)[124], std::byte{0});
  kernel.set("rd0", [&](int lane) { return address + 95 + lane; });
  kernel.step(2, 0, 0x7FFFFFFF);
  CHECK_EQ(take_findings(), std::string());
  kernel.step(2);
  CHECK(is_only(take_findings(), "out-of-bounds", {"0 bytes beyond the end of"}));
  kernel.set("rd0", [&](int) { return address - 1; });
  kernel.step(2);
  CHECK(is_only(take_findings(), "out-of-bounds", {"1 bytes before", "lanes 0-31"}));
  static int on_host[32];
  kernel.set("rd0", [&](int lane) { return reinterpret_cast<uint64_t>(on_host + lane); });
  kernel.step(0);
  CHECK(is_only(take_findings(), "out-of-bounds", {"unregistered host memory"}));
  kernel.memory.register_host(on_host, sizeof(on_host) - 1);
  kernel.step(0);
  CHECK(is_only(take_findings(), "out-of-bounds", {"the registered host range of 127 bytes"}));
  kernel.step(0, 0, 0x7FFFFFFF);
  CHECK_EQ(take_findings(), std::string());
  kernel.set("rd0", [&](int lane) { return address + 4 * (lane % 16); });
  kernel.memory.free(address);
  kernel.step(0);
  CHECK(is_only(take_findings(), "use-after-free", {"0 bytes into the allocation of 126 bytes"}));
  CHECK_EQ(kernel.get<uint32_t>("r0", 3), 0);
}

void test_misaligned() {
  MemoryKernel kernel("ld.global.v4.f32 {f0, f1, f2, f3}, [rd0];\nld.global.u32 r0, [rd0];");
  const uint64_t address = allocate(kernel, 1024);
  kernel.set("rd0", [&](int lane) { return address + 16 * lane + (lane == 3 ? 4 : 0); });
  kernel.step(1);
  CHECK_EQ(take_findings(), std::string());
  kernel.step(0);
  CHECK(is_only(take_findings(), "misaligned", {"no multiple of 16", "lane 3]"}));
  kernel.set("rd0", [&](int lane) { return address + 16 * lane + (lane == 3 ? 2 : 0); });
  kernel.step(1);
  CHECK(is_only(take_findings(), "misaligned", {"no multiple of 4"}));
}

void test_uninitialised() {
  MemoryKernel kernel(
      "ld.global.u32 r0, [rd0];\nst.global.u16 [rd0], h0;\nst.global.u16 [rd0+2], h0;");
  const uint64_t address = allocate(kernel, 256, false);
  kernel.set("rd0", [&](int lane) { return address + 8 * lane; });
  kernel.step(0);
  CHECK(is_only(take_findings(), "uninitialised-read", {"lanes 0-31"}));
  kernel.step(1);
  kernel.step(2, 0, 0xFFFFFFF0);
  kernel.step(0);
  CHECK(is_only(take_findings(), "uninitialised-read", {"lanes 0-3]"}));
  kernel.step(2);
  kernel.step(0);
  CHECK_EQ(take_findings(), std::string());
  kernel.set("rd0", [&](int lane) { return address + 4 * lane; });
  kernel.step(0);
  CHECK(is_only(take_findings(), "uninitialised-read", {"lanes 1,3,5"}));
}

void test_sectors() {
  MemoryKernel kernel(
      "ld.global.u32 r0, [rd0];\nld.global.v4.u32 {r0, r1, r2, r3}, [rd0];\n"
      "ld.global.u8 r0, [rd0];\nld.const.u32 r0, [rd0];");
  const uint64_t address = allocate(kernel, 1 << 16);
  const auto sectors = [&](int instruction, auto offset, LaneMask lanes = kAllLanes) {
    kernel.set("rd0", [&](int lane) { return address + offset(lane); });
    kernel.counters(instruction) = {};
    kernel.step(instruction, 0, lanes);
    return kernel.counters(instruction).sectors;
  };
  CHECK_EQ(sectors(0, [](int lane) { return 4 * lane; }), 4);
  CHECK_EQ(kernel.counters(0).requested_bytes, 128);
  CHECK_EQ(sectors(0, [](int lane) { return 4 * lane + 4; }), 5);
  CHECK_EQ(sectors(0, [](int) { return 64; }), 1);
  CHECK_EQ(sectors(0, [](int lane) { return 128 * lane; }), 32);
  CHECK_EQ(sectors(0, [](int lane) { return 4 * (31 - lane); }), 4);
  CHECK_EQ(sectors(0, [](int lane) { return 4 * lane; }, 0x0000FF01), 2);
  CHECK_EQ(kernel.counters(0).requested_bytes, 36);
  CHECK_EQ(sectors(0, [](int lane) { return lane % 2 * 4096 + lane / 2 * 4; }), 4);
  CHECK_EQ(sectors(1, [](int lane) { return 16 * lane; }), 16);
  CHECK_EQ(sectors(1, [](int lane) { return lane / 8 * 4096 + lane % 8 * 16; }), 16);
  CHECK_EQ(sectors(2, [](int lane) { return lane; }), 1);
  CHECK_EQ(sectors(3, [](int lane) { return 4 * lane; }), 0);
  CHECK_EQ(take_findings(), std::string());
}

void test_parameters_and_local() {
  MemoryKernel kernel(R"(
    .local .align 8 .b8 frame[24];
    ld.param.u64 rd0, [pointer];
    ld.param.u32 r0, [count];
    ld.param.u32 r1, [count+4];
    st.local.u32 [frame+4], r2;
    ld.local.u32 r3, [frame+4];
    ld.local.u64 rd1, [frame+24];
    st.local.u32 [rd2], r2;
    ld.u32 r4, [rd3];
    ld.u32 r5, [rd4];)");
  const uint64_t value = 0x123456789ABCDEF0;
  const uint32_t count = 77;
  std::memcpy(kernel.parameters().data(), &value, 8);
  std::memcpy(kernel.parameters().data() + 8, &count, 4);
  kernel.set("r2", [](int lane) { return 50u + lane; });
  for (int i : {0, 1, 3, 4}) kernel.step(i);
  CHECK_EQ(take_findings(), std::string());
  CHECK_EQ(kernel.get<uint64_t>("rd0", 9), value);
  CHECK_EQ(kernel.get<uint32_t>("r0", 9), count);
  CHECK_EQ(kernel.get<uint32_t>("r3", 9), 59);
  kernel.step(2);
  CHECK(is_only(take_findings(), "out-of-bounds", {"parameter", "'count'"}));
  kernel.step(5);
  CHECK(is_only(take_findings(), "out-of-bounds", {"local", "24 bytes from the start of 'frame'"}));
  const uint64_t frame = kernel.program().local.at(0).address;
  kernel.set("rd2", [&](int lane) { return frame + (lane == 7 ? 22 : 20); });
  kernel.step(6);
  CHECK(is_only(take_findings(), "out-of-bounds", {"lane 7]"}));
  // Generic addresses: of a parameter, and of local and global memory in one instruction.
  kernel.set("rd3", [&](int) { return kParamWindow + 8; });
  kernel.step(7);
  CHECK_EQ(kernel.get<uint32_t>("r4", 31), count);
  const uint64_t global = allocate(kernel, 4);
  *host<uint32_t>(kernel, global, 4) = 4711;
  kernel.set("rd4", [&](int lane) { return lane % 2 == 0 ? kLocalWindow + frame + 4 : global; });
  kernel.step(8);
  CHECK_EQ(kernel.get<uint32_t>("r5", 6), 56);
  CHECK_EQ(kernel.get<uint32_t>("r5", 7), 4711);
  CHECK_EQ(take_findings(), std::string());
}

void test_refusals() {
  for (const char* instruction :
       {"ld.global.v8.u32 r0, [rd0];", "ld.global.f16 h0, [rd0];",
        "ld.global.v2.b128 {q0, q1}, [rd0];", "ld.acquire.cluster.global.u32 r0, [rd0];",
        "ld.shared::cluster.u32 r0, [rd0];", "ld.global.L2::sometimes.u32 r0, [rd0];",
        "ld.global.v2.u32 {r0, r1, r2}, [rd0];", "st.const.u32 [rd0], r0;",
        "st.async.weak.shared::cluster.u32 [rd0], r0, [rd1];",
        "stmatrix.sync.aligned.m8n8.x1.shared.b16 [s], {r0};",
        "st.bulk.weak.shared::cta [s], 32, 0;", "cp.async.bulk.commit_group;"}) {
    if (!is_refused(instruction)) std::cerr << "not refused: " << instruction << '\n';
    CHECK(is_refused(instruction));
  }
  for (const char* instruction :
       {"ld.relaxed.gpu.global.L1::no_allocate.b32 r0, [rd0];",
        "ldu.global.v4.f32 {f0, f1, f2, f3}, [rd0];",
        "ld.global.L1::evict_last.L2::cache_hint.L2::128B.b32 r0, [rd0], rd1;",
        "ld.mmio.relaxed.sys.global.u32 r0, [rd0];", "st.release.sys.global.f64 [rd0], fd0;",
        "st.volatile.shared.v2.u32 [s], {r0, r1};", "prefetch.global.L2::evict_last [rd0];",
        "prefetchu.L1 [rd0];", "createpolicy.fractional.L2::evict_last.b64 rd2, 0.5;",
        "discard.global.L2 [rd0], 128;", "applypriority.global.L2::evict_normal [rd0], 128;",
        "createpolicy.range.global.L2::evict_last.L2::evict_first.b64 rd2, [rd0], 256, 512;"}) {
    if (is_refused(instruction)) std::cerr << "refused: " << instruction << '\n';
    CHECK(!is_refused(instruction));
  }
}

}  // namespace

int main() {
  test_allocations();
  test_many_allocations();
  test_host_cannot_touch_device_memory();
  test_types();
  test_partial_warp();
  test_bounds();
  test_misaligned();
  test_uninitialised();
  test_sectors();
  test_parameters_and_local();
  test_refusals();
  return summary();
}
