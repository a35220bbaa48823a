// DecodeContext for one function of a program.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "execute/decoder.h"
#include "execute/program_builder.h"

namespace emulator {

class FunctionDecoder final : public DecodeContext {
 public:
  FunctionDecoder(ProgramBuilder& builder, int index);

  // Appends an Op for each instruction to Program::ops, and a `ret` for a body that runs past its
  // end. Branch targets are this function's only; calls are linked to functions decoded later.
  void decode_body();

  int32_t use(const ptx::Operand& operand, ptx::Type type) override;
  int32_t define(const ptx::Operand& operand, ptx::Type type) override;
  int32_t scratch(int bytes_per_lane) override {
    return builder_.allocate_register(bytes_per_lane);
  }
  int32_t constant(uint64_t value, int bytes_per_lane) override {
    return builder_.constant(value, bytes_per_lane);
  }
  ptx::Type register_type(const ptx::Operand& operand) const override;
  Address address(const ptx::Operand& operand, ptx::Space space) override;
  const void* keep(std::shared_ptr<const void> object) override;
  [[noreturn]] void refuse(const std::string& why) const override;

 private:
  void decode_instruction(const ptx::Instruction& instruction);
  void append_return();
  void link_control(int first);
  int label(const std::string& name) const;  // index of an Op
  void link_targets(Op& op);
  void link_call(Op& op);
  void find_reconvergence(int first);
  Range call_variable(const ptx::Operand& operand) const;
  Location locate(const std::string& name) const;

  ProgramBuilder& builder_;
  int index_;  // of the function in the program
  const ptx::Function& function_;
  const ptx::Instruction* current_ = nullptr;
};

}  // namespace emulator
