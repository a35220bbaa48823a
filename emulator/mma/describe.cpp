// Which mma instructions there are, and how many registers their fragments take.
#include <algorithm>
#include <array>
#include <string_view>

#include "mma/fragments.h"
#include "mma/mma.h"

namespace emulator::mma {

namespace {

// Element types that the ISA treats alike; both operands are of one family.
enum class Family : uint8_t { kF16, kBF16, kTF32, kF64, kInt8, kInt4, kB1, kFP8 };

struct Combination {
  Family family;
  bool sparse;
  Shape shape;
};

// The shapes of sm_80 to sm_89: PTX ISA, "mma" and "mma.sp". Not here: m8n8k4 of f16, which is made
// for sm_70; f64 beyond m8n8k4, which needs sm_90; the block-scaled and .kind forms of sm_120.
constexpr auto kCombinations = std::to_array<Combination>({
    {Family::kF16, false, {16, 8, 8}},   {Family::kF16, false, {16, 8, 16}},
    {Family::kBF16, false, {16, 8, 8}},  {Family::kBF16, false, {16, 8, 16}},
    {Family::kTF32, false, {16, 8, 4}},  {Family::kTF32, false, {16, 8, 8}},
    {Family::kF64, false, {8, 8, 4}},    {Family::kInt8, false, {8, 8, 16}},
    {Family::kInt8, false, {16, 8, 16}}, {Family::kInt8, false, {16, 8, 32}},
    {Family::kInt4, false, {8, 8, 32}},  {Family::kInt4, false, {16, 8, 32}},
    {Family::kInt4, false, {16, 8, 64}}, {Family::kB1, false, {8, 8, 128}},
    {Family::kB1, false, {16, 8, 128}},  {Family::kB1, false, {16, 8, 256}},
    {Family::kFP8, false, {16, 8, 16}},  {Family::kFP8, false, {16, 8, 32}},
    {Family::kF16, true, {16, 8, 16}},   {Family::kF16, true, {16, 8, 32}},
    {Family::kBF16, true, {16, 8, 16}},  {Family::kBF16, true, {16, 8, 32}},
    {Family::kTF32, true, {16, 8, 8}},   {Family::kTF32, true, {16, 8, 16}},
    {Family::kInt8, true, {16, 8, 32}},  {Family::kInt8, true, {16, 8, 64}},
    {Family::kInt4, true, {16, 8, 64}},  {Family::kInt4, true, {16, 8, 128}},
    {Family::kFP8, true, {16, 8, 64}},
});

Family family_of(Element element) {
  switch (element) {
    case Element::kF16:
      return Family::kF16;
    case Element::kBF16:
      return Family::kBF16;
    case Element::kTF32:
      return Family::kTF32;
    case Element::kF64:
      return Family::kF64;
    case Element::kS8:
    case Element::kU8:
      return Family::kInt8;
    case Element::kS4:
    case Element::kU4:
      return Family::kInt4;
    case Element::kB1:
      return Family::kB1;
    case Element::kE4M3:
    case Element::kE5M2:
      return Family::kFP8;
  }
  return Family::kF16;
}

std::optional<Element> element_named(std::string_view name) {
  constexpr std::pair<std::string_view, Element> kNames[] = {
      {"f16", Element::kF16},   {"bf16", Element::kBF16}, {"tf32", Element::kTF32},
      {"f64", Element::kF64},   {"s8", Element::kS8},     {"u8", Element::kU8},
      {"s4", Element::kS4},     {"u4", Element::kU4},     {"b1", Element::kB1},
      {"e4m3", Element::kE4M3}, {"e5m2", Element::kE5M2},
  };
  for (const auto& [known, element] : kNames) {
    if (known == name) return element;
  }
  return std::nullopt;
}

std::optional<Accumulator> accumulator_named(std::string_view name) {
  if (name == "f16") return Accumulator::kF16;
  if (name == "f32") return Accumulator::kF32;
  if (name == "f64") return Accumulator::kF64;
  if (name == "s32") return Accumulator::kS32;
  return std::nullopt;
}

std::string name_of(const Shape& shape) {
  std::string name("m");
  name += std::to_string(shape.m);
  name += 'n';
  name += std::to_string(shape.n);
  name += 'k';
  name += std::to_string(shape.k);
  return name;
}

std::optional<Shape> shape_named(std::string_view name) {
  for (const Combination& combination : kCombinations) {
    if (name_of(combination.shape) == name) return combination.shape;
  }
  return std::nullopt;
}

bool accumulates_in(const Description& description) {
  if (description.c != description.d) return false;
  switch (family_of(description.a)) {
    case Family::kF16:
      return description.d == Accumulator::kF16 || description.d == Accumulator::kF32;
    case Family::kFP8:
      return description.d == Accumulator::kF32 ||
             (description.d == Accumulator::kF16 && !description.sparse);
    case Family::kBF16:
    case Family::kTF32:
      return description.d == Accumulator::kF32;
    case Family::kF64:
      return description.d == Accumulator::kF64;
    default:
      return description.d == Accumulator::kS32;
  }
}

bool exists(const Description& description) {
  const Family family = family_of(description.a);
  if (family != family_of(description.b) || !accumulates_in(description)) return false;
  const bool integer = family == Family::kInt8 || family == Family::kInt4;
  if (description.saturate && !integer) return false;
  const bool has_shape = std::ranges::any_of(kCombinations, [&](const Combination& combination) {
    return combination.family == family && combination.sparse == description.sparse &&
           combination.shape == description.shape;
  });
  if (!has_shape) return false;
  return !description.sparse || description.selector < num_selectors(description);
}

// Takes an instruction's modifiers one after another.
class Modifiers {
 public:
  explicit Modifiers(const std::vector<std::string>& all) : all_(all) {}

  bool skip(std::string_view expected) {
    if (next_ == all_.size() || all_[next_] != expected) return false;
    ++next_;
    return true;
  }
  std::string_view take() { return next_ < all_.size() ? all_[next_++] : std::string_view(); }
  bool at_end() const { return next_ == all_.size(); }

 private:
  const std::vector<std::string>& all_;
  size_t next_ = 0;
};

int num_words(int rows, int columns, int bits) {
  return rows * columns * bits / kBitsPerRegister;
}

}  // namespace

int Description::num_a() const {
  return num_words(shape.m, stored_k(*this), bits_of(a));
}
int Description::num_b() const {
  return num_words(shape.k, shape.n, bits_of(b));
}
int Description::num_c() const {
  return num_words(shape.m, shape.n, bits_of(c));
}
int Description::num_d() const {
  return num_words(shape.m, shape.n, bits_of(d));
}

std::optional<Description> describe(const ptx::Instruction& instruction) {
  Modifiers modifiers(instruction.modifiers);
  Description result;
  result.ordered = modifiers.skip("sp::ordered_metadata");
  result.sparse = result.ordered || modifiers.skip("sp");
  if (instruction.opcode != "mma" || !modifiers.skip("sync") || !modifiers.skip("aligned")) {
    return std::nullopt;
  }
  const auto shape = shape_named(modifiers.take());
  if (!shape || !modifiers.skip("row") || !modifiers.skip("col")) return std::nullopt;
  result.saturate = modifiers.skip("satfinite");
  modifiers.skip("rn");  // of f64: the default
  const auto d = accumulator_named(modifiers.take());
  const auto a = element_named(modifiers.take()), b = element_named(modifiers.take());
  const auto c = accumulator_named(modifiers.take());
  if (!d || !a || !b || !c) return std::nullopt;
  // ptxas also takes it last, where CUTLASS writes it.
  result.saturate = modifiers.skip("satfinite") || result.saturate;
  result.shape = *shape;
  result.a = *a;
  result.b = *b;
  result.c = *c;
  result.d = *d;

  if (result.a == Element::kB1) {
    result.is_and = modifiers.skip("and");
    if (!result.is_and && !modifiers.skip("xor")) return std::nullopt;
    if (!modifiers.skip("popc")) return std::nullopt;
  }
  if (result.sparse) {
    const ptx::Operand* selector =
        instruction.operands.size() == 6 ? &instruction.operands.back() : nullptr;
    if (!selector || selector->kind != ptx::OperandKind::kImmediate || selector->value < 0 ||
        selector->value >= kLanesPerQuad) {
      return std::nullopt;
    }
    result.selector = static_cast<int>(selector->value);
  }
  if (!modifiers.at_end() || !exists(result)) return std::nullopt;
  return result;
}

}  // namespace emulator::mma
