#include "ptx/module.h"

#include <algorithm>
#include <array>
#include <utility>

namespace emulator::ptx {
namespace {

struct TypeRow {
  std::string_view name;
  Type type;
  int bits;
};

// Sizes are those of PTX's fundamental types; the packed and the alternate types are as wide as the
// data that they stand for (a tf32 occupies 32 bits).
constexpr TypeRow kTypes[] = {
    {"pred", Type::kPred, 1},      {"b8", Type::kB8, 8},        {"b16", Type::kB16, 16},
    {"b32", Type::kB32, 32},       {"b64", Type::kB64, 64},     {"b128", Type::kB128, 128},
    {"u8", Type::kU8, 8},          {"u16", Type::kU16, 16},     {"u32", Type::kU32, 32},
    {"u64", Type::kU64, 64},       {"s8", Type::kS8, 8},        {"s16", Type::kS16, 16},
    {"s32", Type::kS32, 32},       {"s64", Type::kS64, 64},     {"f16", Type::kF16, 16},
    {"f16x2", Type::kF16x2, 32},   {"bf16", Type::kBF16, 16},   {"bf16x2", Type::kBF16x2, 32},
    {"tf32", Type::kTF32, 32},     {"f32", Type::kF32, 32},     {"f32x2", Type::kF32x2, 64},
    {"f64", Type::kF64, 64},       {"u16x2", Type::kU16x2, 32}, {"s16x2", Type::kS16x2, 32},
    {"e4m3", Type::kE4M3, 8},      {"e5m2", Type::kE5M2, 8},    {"e4m3x2", Type::kE4M3x2, 16},
    {"e5m2x2", Type::kE5M2x2, 16}, {"u4", Type::kU4, 4},        {"s4", Type::kS4, 4},
    {"b1", Type::kB1, 1},
};

}  // namespace

int bits_of(Type type) {
  const TypeRow* row = std::ranges::find(kTypes, type, &TypeRow::type);
  return row == std::end(kTypes) ? 0 : row->bits;
}

Type type_named(std::string_view name) {
  const TypeRow* row = std::ranges::find(kTypes, name, &TypeRow::name);
  return row == std::end(kTypes) ? Type::kNone : row->type;
}

bool Instruction::has(std::string_view modifier) const {
  return std::ranges::find(modifiers, modifier) != modifiers.end();
}

std::string Instruction::full_opcode() const {
  std::string name = opcode;
  for (const std::string& modifier : modifiers) name.append(1, '.').append(modifier);
  return name;
}

const Function* Module::find(std::string_view function_name) const {
  // A declaration may precede the definition of the same name.
  const Function* declaration = nullptr;
  for (const auto& function : functions) {
    if (function->name != function_name) continue;
    if (function->has_body) return function.get();
    declaration = function.get();
  }
  return declaration;
}

}  // namespace emulator::ptx
