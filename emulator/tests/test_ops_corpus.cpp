// Every instruction of opcodes.ptx decodes, and no longer does with a modifier or an operand too
// many.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "check.h"
#include "snippet.h"

namespace emulator::test {
namespace {

constexpr size_t kLeastInstructions = 450;

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Decodes one instruction of `kernel`; false where it is refused.
bool decodes(const ptx::Module& module, ptx::Function kernel, const ptx::Instruction& instruction) {
  kernel.instructions = {instruction};
  const NoSymbols symbols;
  ProgramBuilder builder(module, kernel, symbols);
  try {
    FunctionDecoder(builder, 0).decode_body();
    return true;
  } catch (const UnknownInstruction&) {
    return false;
  }
}

void test_corpus() {
  const auto path = std::filesystem::path(__FILE__).parent_path() / "opcodes.ptx";
  const std::unique_ptr<ptx::Module> module = ptx::parse(read(path), "opcodes");
  const ptx::Function& kernel = *module->find("opcodes");
  CHECK(kernel.instructions.size() > kLeastInstructions);
  ptx::Function empty = kernel;
  empty.instructions.clear();
  for (const ptx::Instruction& instruction : kernel.instructions) {
    if (instruction.opcode == "ret") continue;
    const auto check = [&](bool as_expected, const char* what) {
      if (!as_expected) std::cerr << what << ": " << instruction.text << '\n';
      CHECK(as_expected);
    };
    check(decodes(*module, empty, instruction), "refused");

    ptx::Instruction changed = instruction;
    changed.modifiers.emplace_back("unknown");
    check(!decodes(*module, empty, changed), "an unknown modifier is ignored");
    changed = instruction;
    changed.modifiers.insert(changed.modifiers.begin(), "unknown");
    check(!decodes(*module, empty, changed), "an unknown modifier is ignored");
    changed = instruction;
    changed.operands.push_back(changed.operands.back());
    check(!decodes(*module, empty, changed), "an operand too many is ignored");
    changed = instruction;
    changed.operands.pop_back();
    check(!decodes(*module, empty, changed), "an operand too few is not missed");
  }
}

}  // namespace
}  // namespace emulator::test

int main() {
  emulator::test::test_corpus();
  return emulator::test::summary();
}
