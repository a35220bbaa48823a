// Dense mma.sync: every shape and type against three loops; lane maps against the ISA's formulas.
#include <functional>

#include "tests/check.h"
#include "tests/mma_cases.h"

namespace emulator::test {
namespace {

using mma::Position;

const std::string kPrefix = "mma.sync.aligned.";

Description described(const std::string& name) {
  const auto description = mma::describe(instruction(name));
  if (!description) {
    report_failure(__FILE__, __LINE__) << "not described: " << name << '\n';
    return {};
  }
  return *description;
}

// The formulas as the ISA prints them, for element number i of a lane's whole fragment.
struct Formulas {
  std::string name;
  std::function<Position(int g, int t, int i)> a, b;
};

const std::vector<Formulas>& isa_formulas() {
  static const std::vector<Formulas> formulas = {
      {"m8n8k16.row.col.s32.s8.u8.s32", [](int g, int t, int i) { return Position{g, t * 4 + i}; },
       [](int g, int t, int i) { return Position{t * 4 + i, g}; }},
      {"m16n8k4.row.col.f32.tf32.tf32.f32",
       [](int g, int t, int i) { return Position{i == 0 ? g : g + 8, t}; },
       [](int g, int t, int) { return Position{t, g}; }},
      {"m16n8k8.row.col.f32.tf32.tf32.f32",
       [](int g, int t, int i) {
         return Position{i == 0 || i == 2 ? g : g + 8, i < 2 ? t : t + 4};
       },
       [](int g, int t, int i) { return Position{i == 0 ? t : t + 4, g}; }},
      {"m16n8k8.row.col.f32.f16.f16.f32",
       [](int g, int t, int i) { return Position{i < 2 ? g : g + 8, t * 2 + (i & 1)}; },
       [](int g, int t, int i) { return Position{t * 2 + i, g}; }},
      {"m16n8k16.row.col.f32.bf16.bf16.f32",
       [](int g, int t, int i) {
         const bool first = i < 2 || (4 <= i && i < 6);
         return Position{first ? g : g + 8, t * 2 + (i & 1) + (i < 4 ? 0 : 8)};
       },
       [](int g, int t, int i) { return Position{t * 2 + (i & 1) + (i < 2 ? 0 : 8), g}; }},
      {"m16n8k16.row.col.s32.s8.s8.s32",
       [](int g, int t, int i) { return Position{i < 4 ? g : g + 8, t * 4 + (i & 3)}; },
       [](int g, int t, int i) { return Position{t * 4 + i, g}; }},
      {"m16n8k32.row.col.f32.e4m3.e5m2.f32",
       [](int g, int t, int i) {
         const bool first = i < 4 || (8 <= i && i < 12);
         return Position{first ? g : g + 8, t * 4 + (i & 3) + (i < 8 ? 0 : 16)};
       },
       [](int g, int t, int i) { return Position{t * 4 + (i & 3) + (i < 4 ? 0 : 16), g}; }},
      {"m16n8k64.row.col.s32.s4.u4.s32",
       [](int g, int t, int i) {
         const bool first = i < 8 || (16 <= i && i < 24);
         return Position{first ? g : g + 8, t * 8 + (i & 7) + (i < 16 ? 0 : 32)};
       },
       [](int g, int t, int i) { return Position{t * 8 + (i & 7) + (i < 8 ? 0 : 32), g}; }},
      {"m16n8k256.row.col.s32.b1.b1.s32.xor.popc",
       [](int g, int t, int i) {
         const bool first = i < 32 || (64 <= i && i < 96);
         return Position{first ? g : g + 8, t * 32 + (i & 31) + (i < 64 ? 0 : 128)};
       },
       [](int g, int t, int i) { return Position{t * 32 + (i & 31) + (i < 32 ? 0 : 128), g}; }},
  };
  return formulas;
}

void lane_maps_are_the_isas() {
  for (const Formulas& formulas : isa_formulas()) {
    const Description description = described(kPrefix + formulas.name);
    const int count = mma::elements_per_register(description.a);
    for (int lane = 0; lane < mma::kLanes; ++lane) {
      const int g = lane >> 2, t = lane % 4;
      for (int i = 0; i < description.num_a() * count; ++i) {
        CHECK_EQ(mma::position_in_a(description.a, description.shape.m, lane, i / count, i % count),
                 formulas.a(g, t, i));
      }
      for (int i = 0; i < description.num_b() * count; ++i) {
        CHECK_EQ(mma::position_in_b(description.b, lane, i / count, i % count),
                 formulas.b(g, t, i));
      }
      for (int i = 0; i < 4; ++i) {
        CHECK_EQ(mma::position_in_c(lane, i), (Position{i < 2 ? g : g + 8, t * 2 + (i & 1)}));
      }
    }
  }
}

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const std::string shape : {"m16n8k8", "m16n8k16"}) {
    names.push_back(shape + ".row.col.f32.f16.f16.f32");
    names.push_back(shape + ".row.col.f16.f16.f16.f16");
    names.push_back(shape + ".row.col.f32.bf16.bf16.f32");
  }
  for (const std::string shape : {"m16n8k4", "m16n8k8"}) {
    names.push_back(shape + ".row.col.f32.tf32.tf32.f32");
  }
  for (const std::string shape : {"m16n8k16", "m16n8k32"}) {
    for (const std::string a : {"e4m3", "e5m2"}) {
      for (const std::string b : {"e4m3", "e5m2"}) {
        names.push_back(shape + ".row.col.f32." + a + "." + b + ".f32");
        names.push_back(shape + ".row.col.f16." + a + "." + b + ".f16");
      }
    }
  }
  for (const std::string shape : {"m8n8k16", "m16n8k16", "m16n8k32"}) {
    for (const std::string types : {"s8.s8", "s8.u8", "u8.s8", "u8.u8"}) {
      names.push_back(shape + ".row.col.satfinite.s32." + types + ".s32");
    }
  }
  for (const std::string shape : {"m8n8k32", "m16n8k32", "m16n8k64"}) {
    for (const std::string types : {"s4.s4", "s4.u4", "u4.s4", "u4.u4"}) {
      names.push_back(shape + ".row.col.s32." + types + ".s32");
    }
  }
  return names;
}

void products_are_exact() {
  std::mt19937 random(1);
  for (const std::string& name : all_names()) {
    const Description d = described(kPrefix + name);
    const Matrix a = random_matrix(d.a, d.shape.m, d.shape.k, random);
    const Matrix b = random_matrix(d.b, d.shape.k, d.shape.n, random);
    const Matrix c = random_matrix(Element::kS8, d.shape.m, d.shape.n, random);
    const bool equal = run(d, a, b, c) == product(a, b, c);
    if (!equal) report_failure(__FILE__, __LINE__) << name << '\n';
    CHECK(equal);
  }
}

void bits_are_counted() {
  std::mt19937 random(2);
  for (const std::string shape : {"m8n8k128", "m16n8k128", "m16n8k256"}) {
    for (const std::string operation : {"xor", "and"}) {
      const Description d =
          described(kPrefix + shape + ".row.col.s32.b1.b1.s32." + operation + ".popc");
      const Matrix a = random_matrix(d.a, d.shape.m, d.shape.k, random);
      const Matrix b = random_matrix(d.b, d.shape.k, d.shape.n, random);
      const Matrix c = random_matrix(Element::kS8, d.shape.m, d.shape.n, random);
      Matrix expected = c;
      for (int row = 0; row < d.shape.m; ++row) {
        for (int column = 0; column < d.shape.n; ++column) {
          for (int k = 0; k < d.shape.k; ++k) {
            const int x = static_cast<int>(a.at(row, k)), y = static_cast<int>(b.at(k, column));
            expected.at(row, column) += operation == "xor" ? x ^ y : x & y;
          }
        }
      }
      CHECK(run(d, a, b, c) == expected);
    }
  }
}

// The ISA: A is (lane >> 2, lane % 4), B (lane % 4, lane >> 2), C (lane >> 2, lane % 4 * 2 + i).
void doubles_are_multiplied() {
  const Description d = described(kPrefix + "m8n8k4.row.col.f64.f64.f64.f64");
  CHECK_EQ(d.num_a(), 2);
  CHECK_EQ(d.num_c(), 4);
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform(-1, 1);
  Registers a(2), b(2), c(4);
  double da[8][4], db[4][8], dc[8][8];
  const auto store = [](Registers& registers, int first, int lane, double value) {
    const auto bits = std::bit_cast<uint64_t>(value);
    registers[first][lane] = static_cast<uint32_t>(bits);
    registers[first + 1][lane] = static_cast<uint32_t>(bits >> 32);
  };
  for (int lane = 0; lane < mma::kLanes; ++lane) {
    store(a, 0, lane, da[lane >> 2][lane % 4] = uniform(random));
    store(b, 0, lane, db[lane % 4][lane >> 2] = uniform(random));
    for (int i = 0; i < 2; ++i) {
      store(c, 2 * i, lane, dc[lane >> 2][lane % 4 * 2 + i] = uniform(random));
    }
  }
  mma::execute(d, a.inputs(), b.inputs(), c.inputs(), c.data(), nullptr, nullptr);
  for (int lane = 0; lane < mma::kLanes; ++lane) {
    for (int i = 0; i < 2; ++i) {
      const int row = lane >> 2, column = lane % 4 * 2 + i;
      double expected = dc[row][column];
      for (int k = 0; k < 4; ++k) expected = std::fma(da[row][k], db[k][column], expected);
      const uint64_t bits = uint64_t{c[2 * i + 1][lane]} << 32 | c[2 * i][lane];
      CHECK_EQ(std::bit_cast<double>(bits), expected);
    }
  }
}

void integers_saturate_or_wrap() {
  const std::string types = ".s32.s8.s8.s32";
  const Matrix a = [] {
    Matrix ones(16, 16);
    for (double& value : ones.values()) value = 1;
    return ones;
  }();
  Matrix b(16, 8), c(16, 8);
  for (double& value : b.values()) value = 1;
  c.at(3, 5) = 2147483647;
  c.at(9, 1) = -2147483648.0;
  const Matrix clamped = run(described(kPrefix + "m16n8k16.row.col.satfinite" + types), a, b, c);
  const Matrix wrapped = run(described(kPrefix + "m16n8k16.row.col" + types), a, b, c);
  CHECK_EQ(clamped.at(3, 5), 2147483647.0);
  CHECK_EQ(wrapped.at(3, 5), -2147483648.0 + 15);
  CHECK_EQ(clamped.at(9, 1), -2147483648.0 + 16);
  CHECK_EQ(clamped.at(0, 0), 16.0);
}

void halves_of_k_add_up() {
  std::mt19937 random(4);
  const std::pair<std::string, std::string> pairs[] = {
      {"m16n8k8.row.col.f32.f16.f16.f32", "m16n8k16.row.col.f32.f16.f16.f32"},
      {"m16n8k4.row.col.f32.tf32.tf32.f32", "m16n8k8.row.col.f32.tf32.tf32.f32"},
      {"m16n8k16.row.col.s32.s8.u8.s32", "m16n8k32.row.col.s32.s8.u8.s32"},
      {"m16n8k32.row.col.s32.u4.s4.s32", "m16n8k64.row.col.s32.u4.s4.s32"},
      {"m16n8k16.row.col.f32.e4m3.e4m3.f32", "m16n8k32.row.col.f32.e4m3.e4m3.f32"},
  };
  for (const auto& [small_name, large_name] : pairs) {
    const Description small = described(kPrefix + small_name);
    const Description large = described(kPrefix + large_name);
    const int half = small.shape.k;
    const Matrix a = random_matrix(large.a, 16, 2 * half, random);
    const Matrix b = random_matrix(large.b, 2 * half, 8, random);
    Matrix sum = random_matrix(Element::kS8, 16, 8, random);
    const Matrix expected = run(large, a, b, sum);
    for (int part = 0; part < 2; ++part) {
      Matrix a_part(16, half), b_part(half, 8);
      for (int k = 0; k < half; ++k) {
        for (int row = 0; row < 16; ++row) a_part.at(row, k) = a.at(row, part * half + k);
        for (int column = 0; column < 8; ++column) {
          b_part.at(k, column) = b.at(part * half + k, column);
        }
      }
      sum = run(small, a_part, b_part, sum);
    }
    CHECK(sum == expected);
  }
}

// One rounding at the end: 2^24 + 1 + 1 is lost in f32 if rounded after each product.
void sums_are_rounded_once() {
  const Description d = described(kPrefix + "m16n8k8.row.col.f32.bf16.bf16.f32");
  Matrix a(16, 8), b(8, 8), c(16, 8);
  a.at(0, 0) = a.at(0, 1) = 1;
  b.at(0, 0) = b.at(1, 0) = 1;
  c.at(0, 0) = 0x1p24;
  CHECK_EQ(run(d, a, b, c).at(0, 0), 0x1p24 + 2);
}

void what_the_isa_lacks_is_refused() {
  for (const std::string name : {
           "m8n8k4.row.col.f32.f16.f16.f32",      // made for sm_70
           "m16n8k8.row.col.f64.f64.f64.f64",     // sm_90
           "m16n8k16.row.col.f32.f16.bf16.f32",   // mixed
           "m16n8k16.row.col.f32.f16.f16.f16",    // unlike accumulators
           "m16n8k16.row.col.f16.bf16.bf16.f16",  // bf16 accumulates in f32
           "m16n8k16.col.row.f32.f16.f16.f32",    // layouts
           "m16n8k16.row.col.satfinite.f32.f16.f16.f32",
           "m16n8k16.row.col.f32.tf32.tf32.f32",
           "m16n8k32.row.col.s32.s8.s4.s32",
           "m16n8k128.row.col.s32.b1.b1.s32",  // no operation
           "m16n8k128.row.col.s32.b1.b1.s32.or.popc",
           "m16n8k16.row.col.f32.f16.f16.f32.more",
           "m16n8k32.row.col.kind::f8f6f4.f32.e4m3.e4m3.f32",
       }) {
    CHECK(!mma::describe(instruction(kPrefix + name)));
  }
  CHECK(!mma::describe(instruction("wmma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32")));
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  lane_maps_are_the_isas();
  products_are_exact();
  bits_are_counted();
  doubles_are_multiplied();
  integers_saturate_or_wrap();
  halves_of_k_add_up();
  sums_are_rounded_once();
  what_the_isa_lacks_is_refused();
  return summary();
}
