#include "execute/decoder.h"
#include "execute/function_decoder.h"
#include "execute/program_builder.h"

namespace emulator {

std::unique_ptr<Program> decode(const ptx::Module& module, const ptx::Function& kernel,
                                const SymbolTable& symbols) {
  ProgramBuilder builder(module, kernel, symbols);
  const int num_functions = static_cast<int>(builder.program().functions.size());
  for (int i = 0; i < num_functions; ++i) FunctionDecoder(builder, i).decode_body();
  return builder.take();
}

}  // namespace emulator
