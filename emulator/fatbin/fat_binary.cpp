// The layout is undocumented; what is here was read off the output of nvcc 13.0.
#include "fatbin/fat_binary.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "fatbin/zstd.h"

namespace emulator {
namespace {

constexpr uint32_t kWrapperMagic = 0x466243b1;
constexpr uint32_t kBinaryMagic = 0xBA55ED50;

struct Wrapper {
  uint32_t magic;
  uint32_t version;
  const void* binary;
  const void* prelinked;
};

struct BinaryHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t header_bytes;
  uint64_t payload_bytes;  // all entries
};

enum EntryKind : uint16_t { kPtx = 1, kElf = 2 };

enum EntryFlags : uint64_t {
  kLz4 = 0x2000,
  kZstd = 0x8000,
  kArchSpecific = 0x100000,    // compute_90a
  kFamilySpecific = 0x200000,  // compute_100f
};

struct EntryHeader {
  uint16_t kind;
  uint16_t version;
  uint32_t header_bytes;
  uint64_t payload_bytes;  // padded
  uint32_t stored_bytes;   // compressed and unpadded; 0 where plain
  uint32_t unknown[2];
  uint32_t arch;
  uint32_t unknown_too[2];
  uint64_t flags;
  uint64_t unknown_as_well;
  uint64_t full_bytes;  // decompressed
};
static_assert(offsetof(EntryHeader, stored_bytes) == 16);
static_assert(offsetof(EntryHeader, arch) == 28);
static_assert(offsetof(EntryHeader, flags) == 40);
static_assert(offsetof(EntryHeader, full_bytes) == 56);

template <typename Header>
Header read(const char* bytes) {
  Header header;
  std::memcpy(&header, bytes, sizeof header);
  return header;
}

std::string gencode(int arch) {
  const std::string name = "compute_" + std::to_string(arch);
  return "-gencode arch=" + name + ",code=" + name;
}

const char* find_binary(const void* pointer) {
  const auto* bytes = static_cast<const char*>(pointer);
  if (read<uint32_t>(bytes) == kWrapperMagic) {
    bytes = static_cast<const char*>(read<Wrapper>(bytes).binary);
  }
  if (read<uint32_t>(bytes) != kBinaryMagic) {
    throw std::runtime_error("not a fat binary: its first word is unknown");
  }
  return bytes;
}

std::string read_text(const EntryHeader& entry, const char* payload) {
  std::string text;
  if (entry.flags & kZstd) {
    text = decompress_zstd({payload, entry.stored_bytes}, entry.full_bytes);
  } else if (entry.flags & kLz4) {
    throw std::runtime_error(
        "the PTX in this fat binary is compressed with LZ4: build with nvcc --compress-mode=none");
  } else {
    text.assign(payload, entry.payload_bytes);
  }
  // Padded with NULs.
  text.erase(text.find_last_not_of('\0') + 1);
  return text;
}

}  // namespace

std::vector<PtxImage> ptx_images(const void* fat_binary) {
  const char* const binary = find_binary(fat_binary);
  const auto header = read<BinaryHeader>(binary);
  const char* at = binary + header.header_bytes;
  const char* const end = at + header.payload_bytes;
  std::vector<PtxImage> images;
  std::string cubins;
  while (at < end) {
    const auto entry = read<EntryHeader>(at);
    const char* const payload = at + entry.header_bytes;
    at = payload + entry.payload_bytes;
    if (entry.header_bytes < sizeof entry || at > end) {
      throw std::runtime_error("malformed fat binary: an entry reaches past its end");
    }
    if (entry.kind == kPtx) {
      const bool arch_specific = (entry.flags & (kArchSpecific | kFamilySpecific)) != 0;
      images.push_back({read_text(entry, payload), static_cast<int>(entry.arch), arch_specific});
    } else if (entry.kind == kElf) {
      cubins += " sm_" + std::to_string(entry.arch);
    }
  }
  if (images.empty()) {
    constexpr int kOldest = 80;
    throw std::runtime_error("this fat binary has no PTX" +
                             (cubins.empty() ? "" : ", only machine code for" + cubins) +
                             ": build with nvcc " + gencode(kOldest));
  }
  return images;
}

const PtxImage& best_for(const std::vector<PtxImage>& images, int compute_capability) {
  const PtxImage* best = nullptr;
  std::string offered;
  for (const PtxImage& image : images) {
    offered += " compute_" + std::to_string(image.arch) + (image.arch_specific ? "a" : "");
    const bool runs =
        image.arch_specific ? image.arch == compute_capability : image.arch <= compute_capability;
    // Of two for the same architecture the specific one is the richer.
    const auto rank = [](const PtxImage& i) { return 2 * i.arch + i.arch_specific; };
    if (runs && (!best || rank(image) > rank(*best))) best = &image;
  }
  if (!best) {
    throw std::runtime_error("no PTX in this program runs on compute capability " +
                             std::to_string(compute_capability / 10) + "." +
                             std::to_string(compute_capability % 10) + ", only" + offered +
                             ": build with nvcc " + gencode(compute_capability));
  }
  return *best;
}

}  // namespace emulator
