// mma.sp: every shape, type, selector and both kinds of metadata against the decompressed product.
#include <algorithm>

#include "tests/check.h"
#include "tests/mma_cases.h"

namespace emulator::test {
namespace {

using mma::MetadataIssue;

struct Case {
  std::string name;  // behind "mma.sp.sync.aligned."
  int num_selectors;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"m16n8k16.row.col.f32.f16.f16.f32", 4},   {"m16n8k32.row.col.f32.f16.f16.f32", 2},
      {"m16n8k16.row.col.f16.f16.f16.f16", 4},   {"m16n8k32.row.col.f16.f16.f16.f16", 2},
      {"m16n8k16.row.col.f32.bf16.bf16.f32", 4}, {"m16n8k32.row.col.f32.bf16.bf16.f32", 2},
      {"m16n8k8.row.col.f32.tf32.tf32.f32", 4},  {"m16n8k16.row.col.f32.tf32.tf32.f32", 2},
      {"m16n8k32.row.col.s32.s8.s8.s32", 2},     {"m16n8k64.row.col.satfinite.s32.s8.u8.s32", 1},
      {"m16n8k32.row.col.s32.u8.s8.s32", 2},     {"m16n8k64.row.col.s32.u8.u8.s32", 1},
      {"m16n8k64.row.col.s32.s4.s4.s32", 2},     {"m16n8k128.row.col.s32.s4.u4.s32", 1},
      {"m16n8k64.row.col.s32.u4.s4.s32", 2},     {"m16n8k128.row.col.satfinite.s32.u4.u4.s32", 1},
      {"m16n8k64.row.col.f32.e4m3.e4m3.f32", 1}, {"m16n8k64.row.col.f32.e5m2.e4m3.f32", 1},
      {"m16n8k64.row.col.f32.e4m3.e5m2.f32", 1}, {"m16n8k64.row.col.f32.e5m2.e5m2.f32", 1},
  };
  return all;
}

std::optional<Description> describe(const std::string& name, bool ordered, int selector) {
  const std::string variant = ordered ? "mma.sp::ordered_metadata" : "mma.sp";
  return mma::describe(instruction(variant + ".sync.aligned." + name, selector));
}

// Stored elements of A, a nibble for each group, and what they stand for.
struct SparseA {
  Matrix stored, dense;
  std::vector<std::vector<int>> nibbles;

  explicit SparseA(const Description& d)
      : stored(d.shape.m, d.shape.k / 2),
        dense(d.shape.m, d.shape.k),
        nibbles(d.shape.m, std::vector<int>(d.shape.k / mma::group_size(d.a))) {}

  // Reads the nibbles as the ISA describes them.
  void decompress(Element element) {
    std::fill(dense.values().begin(), dense.values().end(), 0);
    const int group_size = mma::group_size(element);
    for (int row = 0; row < dense.rows(); ++row) {
      for (int group = 0; group < static_cast<int>(nibbles[row].size()); ++group) {
        const int nibble = nibbles[row][group];
        if (element == Element::kTF32) {
          dense.at(row, 2 * group + (nibble == 0x4 ? 0 : 1)) = stored.at(row, group);
          continue;
        }
        const int unit = group_size / 4;  // neighbours that one index names
        for (int i = 0; i < 2 * unit; ++i) {
          const int index = i < unit ? nibble & 3 : nibble >> 2;
          dense.at(row, group_size * group + index * unit + i % unit) +=
              stored.at(row, group_size / 2 * group + i);
        }
      }
    }
  }
};

SparseA random_a(const Description& d, std::mt19937& random) {
  constexpr int kOrdered[] = {0x4, 0x8, 0xC, 0x9, 0xD, 0xE};
  SparseA a(d);
  a.stored = random_matrix(d.a, d.shape.m, d.shape.k / 2, random);
  for (auto& row : a.nibbles) {
    for (int& nibble : row) {
      nibble = d.a == Element::kTF32 ? (random() % 2 ? 0x4 : 0xE) : kOrdered[random() % 6];
      const bool swap = !d.ordered && d.a != Element::kTF32 && random() % 2;
      if (swap) nibble = (nibble & 3) << 2 | nibble >> 2;
    }
  }
  a.decompress(d.a);
  return a;
}

// Lanes that the selector leaves out hold bits that must not matter.
std::array<uint32_t, mma::kLanes> pack_metadata(const Description& d, const SparseA& a) {
  std::array<uint32_t, mma::kLanes> words;
  words.fill(0xdeadbeef);
  for (int row = 0; row < d.shape.m; ++row) {
    for (int group = 0; group < static_cast<int>(a.nibbles[row].size()); ++group) {
      const auto [lane, bit] = mma::nibble_position(d, row, group);
      words[lane] &= ~(0xfu << bit);
      words[lane] |= static_cast<uint32_t>(a.nibbles[row][group]) << bit;
    }
  }
  return words;
}

void sparse_is_decompressed() {
  std::mt19937 random(11);
  for (const auto& [name, num_selectors] : cases()) {
    for (const bool ordered : {true, false}) {
      CHECK(!describe(name, ordered, num_selectors));
      for (int selector = 0; selector < num_selectors; ++selector) {
        const auto d = describe(name, ordered, selector);
        CHECK(d.has_value());
        if (!d) continue;
        const SparseA a = random_a(*d, random);
        const Matrix b = random_matrix(d->b, d->shape.k, 8, random);
        const Matrix c = random_matrix(Element::kS8, 16, 8, random);
        std::vector<MetadataIssue> issues;
        const auto metadata = pack_metadata(*d, a);
        const bool equal =
            run(*d, a.stored, b, c, metadata.data(), &issues) == product(a.dense, b, c);
        if (!equal) report_failure(__FILE__, __LINE__) << name << ' ' << selector << '\n';
        CHECK(equal);
        CHECK(issues.empty());
      }
    }
  }
}

// Where the ISA has a dense instruction of that shape, it gives the same from the decompressed A.
void dense_mma_agrees() {
  std::mt19937 random(12);
  for (const std::string name :
       {"m16n8k16.row.col.f32.f16.f16.f32", "m16n8k8.row.col.f32.tf32.tf32.f32",
        "m16n8k32.row.col.s32.s8.u8.s32", "m16n8k64.row.col.s32.u4.s4.s32"}) {
    const auto sparse = describe(name, true, 1);
    const auto dense = mma::describe(instruction("mma.sync.aligned." + name));
    CHECK(sparse && dense);
    if (!sparse || !dense) continue;
    const SparseA a = random_a(*sparse, random);
    const Matrix b = random_matrix(sparse->b, sparse->shape.k, 8, random);
    const Matrix c = random_matrix(Element::kS8, 16, 8, random);
    const auto metadata = pack_metadata(*sparse, a);
    CHECK(run(*sparse, a.stored, b, c, metadata.data()) == run(*dense, a.dense, b, c));
  }
}

// One large instruction is two small ones. The large one's metadata words serve the small ones as
// they are where a selector picks the lanes that hold each half of K.
void halves_of_k_add_up() {
  std::mt19937 random(13);
  const std::pair<std::string, std::string> pairs[] = {
      {"m16n8k16.row.col.f32.f16.f16.f32", "m16n8k32.row.col.f32.f16.f16.f32"},
      {"m16n8k8.row.col.f32.tf32.tf32.f32", "m16n8k16.row.col.f32.tf32.tf32.f32"},
      {"m16n8k32.row.col.s32.s8.s8.s32", "m16n8k64.row.col.s32.s8.s8.s32"},
      {"m16n8k64.row.col.s32.s4.s4.s32", "m16n8k128.row.col.s32.s4.s4.s32"},
  };
  for (const auto& [small_name, large_name] : pairs) {
    for (int selector = 0; selector < 2; ++selector) {
      const auto large = describe(large_name, true, selector);
      if (!large) continue;  // all four lanes supply metadata: there is selector 0 only
      const SparseA a = random_a(*large, random);
      const Matrix b = random_matrix(large->b, large->shape.k, 8, random);
      Matrix sum = random_matrix(Element::kS8, 16, 8, random);
      const auto metadata = pack_metadata(*large, a);
      const Matrix expected = run(*large, a.stored, b, sum, metadata.data());
      for (int part = 0; part < 2; ++part) {
        const auto small = describe(small_name, true, 2 * selector + part);
        CHECK(small.has_value());
        if (!small) continue;
        const int k = small->shape.k;
        Matrix a_part(16, k / 2), b_part(k, 8);
        for (int i = 0; i < k / 2; ++i) {
          for (int row = 0; row < 16; ++row) a_part.at(row, i) = a.stored.at(row, part * k / 2 + i);
        }
        for (int i = 0; i < k; ++i) {
          for (int column = 0; column < 8; ++column) {
            b_part.at(i, column) = b.at(part * k + i, column);
          }
        }
        sum = run(*small, a_part, b_part, sum, metadata.data());
      }
      CHECK(sum == expected);
    }
  }
}

void odd_metadata_is_told() {
  std::mt19937 random(14);
  const auto ordered = describe("m16n8k32.row.col.f32.f16.f16.f32", true, 1);
  const auto unordered = describe("m16n8k32.row.col.f32.f16.f16.f32", false, 1);
  const auto tf32 = describe("m16n8k8.row.col.f32.tf32.tf32.f32", true, 2);
  const auto told = [&](const Description& d, int row, int group, int nibble, double value) {
    SparseA a = random_a(d, random);
    a.nibbles[row][group] = nibble;
    const int stored = mma::group_size(d.a) / 2;
    for (int i = 0; i < stored; ++i) a.stored.at(row, stored * group + i) = value;
    const Matrix b = random_matrix(d.b, d.shape.k, 8, random);
    std::vector<MetadataIssue> issues;
    const auto metadata = pack_metadata(d, a);
    const Matrix result = run(d, a.stored, b, Matrix(16, 8), metadata.data(), &issues);
    // The indices are taken literally, also where they are equal.
    a.decompress(d.a);
    if (d.a != Element::kTF32) CHECK(result == product(a.dense, b, Matrix(16, 8)));
    return issues;
  };

  for (const int nibble : {0x0, 0x1, 0x5, 0xA, 0xB, 0xF}) {
    const auto issues = told(*ordered, 11, 5, nibble, 1);
    CHECK_EQ(issues.size(), 1);
    if (issues.empty()) continue;
    CHECK_EQ(issues[0].lane,
             4 * 3 + 3);  // row 11: quad 3; selector 1, second half of K: its lane 3
    CHECK_EQ(issues[0].row, 11);
    CHECK_EQ(issues[0].group, 5);
    CHECK_EQ(issues[0].nibble, nibble);
    CHECK(!issues[0].values_are_zero);
  }
  CHECK(told(*ordered, 0, 0, 0x0, -0.0).at(0).values_are_zero);
  CHECK(told(*unordered, 2, 3, 0x1, 1).empty());
  CHECK_EQ(told(*unordered, 2, 3, 0xF, 1).size(), 1);
  CHECK_EQ(told(*tf32, 9, 1, 0x8, 1).size(), 1);
  CHECK_EQ(told(*tf32, 9, 1, 0x8, 1).at(0).lane, 4 * 1 + 2);
}

// What is not stored is not multiplied: an infinity that no index names does not make a NaN.
void only_named_elements_are_read() {
  const auto d = describe("m16n8k16.row.col.f32.f16.f16.f32", true, 0);
  SparseA a(*d);
  for (auto& row : a.nibbles) std::fill(row.begin(), row.end(), 0x4);
  Matrix b(16, 8);
  b.at(2, 0) = 1e9;  // infinity in f16
  const auto metadata = pack_metadata(*d, a);
  CHECK_EQ(run(*d, a.stored, b, Matrix(16, 8), metadata.data()).at(0, 0), 0.0);
}

void what_the_isa_lacks_is_refused() {
  CHECK(!describe("m16n8k64.row.col.f16.e4m3.e4m3.f16", true, 0));  // sm_120
  CHECK(!describe("m16n8k8.row.col.f32.f16.f16.f32", true, 0));
  CHECK(!describe("m16n8k32.row.col.f32.tf32.tf32.f32", true, 0));
  CHECK(!describe("m16n8k16.row.col.f32.f16.f16.f32", true, -1));
  CHECK(!mma::describe(instruction("mma.sp::other.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")));
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  sparse_is_decompressed();
  dense_mma_agrees();
  halves_of_k_add_up();
  odd_metadata_is_told();
  only_named_elements_are_read();
  what_the_isa_lacks_is_refused();
  return summary();
}
