// Fat binaries put together here, in the layout that nvcc 13.0 writes.
#include "fatbin/fat_binary.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "tests/check.h"

using namespace emulator;

namespace {

constexpr uint16_t kPtx = 1;
constexpr uint16_t kElf = 2;
constexpr uint64_t kLz4 = 0x2000;
constexpr uint64_t kZstd = 0x8000;
constexpr uint64_t kArchSpecific = 0x100000;
constexpr uint64_t kFamilySpecific = 0x200000;

const std::string kText = "\n\n.version 9.0\n.target sm_80\n.address_size 64\n";

template <typename T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

struct Entry {
  uint16_t kind = kPtx;
  uint32_t arch = 80;
  uint64_t flags = 0;
  std::string payload = kText;
  uint64_t full_bytes = kText.size();
};

std::string fat_binary(const std::vector<Entry>& entries) {
  constexpr uint32_t kHeaderBytes = 80;
  constexpr size_t kAlignment = 8;
  std::string body;
  for (const Entry& entry : entries) {
    const size_t start = body.size();
    std::string payload = entry.payload;
    payload.resize((payload.size() + kAlignment) / kAlignment * kAlignment);
    const bool is_plain = (entry.flags & (kLz4 | kZstd)) == 0;
    append(body, entry.kind);
    append(body, uint16_t{0x101});
    append(body, kHeaderBytes);
    append(body, uint64_t{payload.size()});
    append(body, static_cast<uint32_t>(is_plain ? 0 : entry.payload.size()));
    append(body, uint64_t{0x40});
    append(body, entry.arch);
    append(body, uint64_t{0});
    append(body, entry.flags);
    append(body, uint64_t{0});
    append(body, entry.full_bytes);
    body.resize(start + kHeaderBytes);
    body += payload;
  }
  std::string binary;
  append(binary, uint32_t{0xBA55ED50});
  append(binary, uint16_t{1});
  append(binary, uint16_t{16});
  append(binary, uint64_t{body.size()});
  return binary + body;
}

// Empty where the machine has no zstd.
std::string compress(const std::string& text) {
  using Compress = size_t(void*, size_t, const void*, size_t, int);
  void* const library = dlopen("libzstd.so.1", RTLD_NOW);
  if (!library) return {};
  std::string result(text.size() + 100, '\0');
  auto* const function = reinterpret_cast<Compress*>(dlsym(library, "ZSTD_compress"));
  result.resize(function(result.data(), result.size(), text.data(), text.size(), 3));
  return result;
}

void check_refused(const std::vector<Entry>& entries, const std::string& advice) {
  const std::string binary = fat_binary(entries);
  const auto says_it = [&](const std::runtime_error& error) {
    if (std::string(error.what()).find(advice) != std::string::npos) return true;
    std::cerr << error.what() << '\n';
    return false;
  };
  CHECK_THROWS(ptx_images(binary.data()), std::runtime_error, says_it);
}

void test_plain() {
  const std::string binary = fat_binary({{},
                                         {.kind = kElf,
                                          .payload = "\x7f"
                                                     "ELF"},
                                         {.arch = 90, .flags = kArchSpecific | 0x11}});
  const auto images = ptx_images(binary.data());
  CHECK_EQ(images.size(), 2);
  CHECK_EQ(images[0].text, kText);
  CHECK_EQ(images[0].arch, 80);
  CHECK(!images[0].arch_specific);
  CHECK_EQ(images[1].arch, 90);
  CHECK(images[1].arch_specific);
}

void test_wrapper() {
  const std::string binary = fat_binary({{}});
  struct {
    uint32_t magic = 0x466243b1;
    uint32_t version = 1;
    const void* data;
    const void* unused = nullptr;
  } wrapper{.data = binary.data()};
  CHECK_EQ(ptx_images(&wrapper).size(), 1);
  wrapper.magic = 1;
  CHECK_THROWS(ptx_images(&wrapper), std::runtime_error, [](const auto&) { return true; });
}

void test_zstd() {
  std::string text = kText;
  for (int i = 0; i < 1000; ++i) text += "// a line that is repeated\n";
  const std::string compressed = compress(text);
  const Entry entry{.flags = kZstd | 0x11, .payload = compressed, .full_bytes = text.size()};
  if (compressed.empty()) return check_refused({entry}, "--compress-mode=none");
  const std::string binary = fat_binary({entry});
  CHECK(compressed.size() < text.size());
  CHECK_EQ(ptx_images(binary.data()).at(0).text, text);

  Entry damaged = entry;
  damaged.payload[damaged.payload.size() / 2] ^= 0x55;
  damaged.full_bytes -= 1;
  check_refused({damaged}, "cannot be decompressed");
}

void test_refused() {
  check_refused({{.flags = kLz4}}, "--compress-mode=none");
  check_refused({{.kind = kElf, .arch = 86}}, "only machine code for sm_86");
  check_refused({{.kind = kElf, .arch = 86}}, "-gencode arch=compute_80,code=compute_80");
  check_refused({}, "no PTX");
}

void test_choice() {
  const std::vector<PtxImage> images = {
      {"a", 80, false}, {"b", 89, false}, {"c", 90, true}, {"d", 75, false}, {"e", 89, true}};
  CHECK_EQ(best_for(images, 80).text, "a");
  CHECK_EQ(best_for(images, 86).text, "a");
  CHECK_EQ(best_for(images, 89).text, "e");
  CHECK_EQ(best_for(images, 90).text, "c");
  CHECK_EQ(best_for(images, 100).text, "b");
  const auto says_how = [](const std::runtime_error& error) {
    const std::string what = error.what();
    return what.find("8.0") != std::string::npos && what.find("compute_90a") != std::string::npos &&
           what.find("-gencode arch=compute_80,code=compute_80") != std::string::npos;
  };
  CHECK_THROWS(best_for({{"c", 90, true}}, 80), std::runtime_error, says_how);
  CHECK(ptx_images(fat_binary({{.arch = 100, .flags = kFamilySpecific}}).data())[0].arch_specific);
}

}  // namespace

int main() {
  test_plain();
  test_wrapper();
  test_zstd();
  test_refused();
  test_choice();
  return emulator::test::summary();
}
