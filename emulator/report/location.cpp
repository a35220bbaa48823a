#include "report/location.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include "report/findings.h"

namespace emulator {
namespace {

constexpr std::string_view kInstructionWrappers = "csrc/cuda/ptx/";
constexpr std::string_view kAnonymous = "(anonymous namespace)::";

std::string file_and_line(const ptx::Module& module, const ptx::Frame& frame) {
  const auto found = module.files.find(frame.file);
  return (found == module.files.end() ? "?" : found->second) + ":" + std::to_string(frame.line);
}

bool is_wrapper(const ptx::Module& module, const ptx::Frame& frame) {
  const auto found = module.files.find(frame.file);
  return found != module.files.end() &&
         found->second.find(kInstructionWrappers) != std::string::npos;
}

const ptx::Chain& chain_of(const ptx::Module& module, const ptx::Instruction& instruction) {
  static const ptx::Chain empty;
  const size_t index = static_cast<size_t>(instruction.chain);
  return index < module.chains.size() ? module.chains[index] : empty;
}

// Index of the frame that a finding is about; the chain's size if it is empty.
size_t first_frame(const ptx::Module& module, const ptx::Chain& chain) {
  for (size_t i = 0; i < chain.size(); ++i) {
    if (!is_wrapper(module, chain[i])) return i;
  }
  return chain.empty() ? 0 : chain.size() - 1;
}

std::string ptx_line(const ptx::Module& module, const ptx::Instruction& instruction) {
  return (module.name.empty() ? "ptx" : module.name) + ":" + std::to_string(instruction.line);
}

}  // namespace

std::string location_line(const ptx::Module& module, const ptx::Instruction& instruction) {
  const ptx::Chain& chain = chain_of(module, instruction);
  if (chain.empty()) return ptx_line(module, instruction);
  return file_and_line(module, chain[first_frame(module, chain)]);
}

std::string location_of(const ptx::Module& module, const ptx::Instruction& instruction) {
  const ptx::Chain& chain = chain_of(module, instruction);
  if (chain.empty()) return ptx_line(module, instruction);
  std::string text;
  for (size_t i = first_frame(module, chain); i < chain.size(); ++i) {
    if (!text.empty()) text += ", inlined at ";
    text += file_and_line(module, chain[i]);
    if (!chain[i].function.empty()) text += " (in " + short_name(chain[i].function) + ")";
  }
  return text;
}

std::string short_name(const std::string& mangled) {
  constexpr size_t kMost = 80;  // of a name that cannot be read
  const std::string name = readable_name(mangled);
  if (name == mangled) return name.size() > kMost ? name.substr(0, kMost) + "..." : name;
  std::string kept;
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    while (name.compare(i, kAnonymous.size(), kAnonymous) == 0) i += kAnonymous.size();
    if (i >= name.size()) break;
    if (name[i] == '(' && depth == 0) break;
    if (name[i] == '<') ++depth;
    if (depth == 0) kept += name[i];
    if (name[i] == '>') --depth;
  }
  const size_t space =
      kept.rfind(' ');  // what stands before it is the type that a template returns
  return space == std::string::npos ? kept : kept.substr(space + 1);
}

std::string readable_name(const std::string& mangled) {
  if (!mangled.starts_with("_Z")) return mangled;  // or "a" would become "signed char"
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 && name != nullptr ? std::string(name.get()) : mangled;
}

}  // namespace emulator
