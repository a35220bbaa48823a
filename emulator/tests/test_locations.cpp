// Inlining chains from `.loc` directives, in the form in which nvcc -lineinfo writes them.
#include "ptx/module.h"
#include "tests/check.h"

using namespace emulator::ptx;

namespace {

void test_locations() {
  const auto module = parse(
      ".version 9.0\n.target sm_80\n.address_size 64\n"
      ".visible .entry k()\n{\n.loc 1 75 0\nret;\n"
      ".loc 1 84 3\n"
      ".loc 2 215 9, function_name $L__info_string0, inlined_at 1 84 3\n"
      ".loc 3 133 5, function_name $L__info_string0+5, inlined_at 2 215 9\n"
      ".loc 4 68 3, function_name $L__info_string2, inlined_at 3 133 5\n"
      "bar.sync 0;\n"
      ".loc 9 1 1, function_name $L__info_string2, inlined_at 8 2 2\nret;\nret;\n}\n"
      ".visible .entry other()\n{\nret;\n"
      ".loc 4 68 3, function_name $L__info_string2, inlined_at 3 133 5\nret;\n}\n"
      ".file 1 \"a.cu\"\n"
      "\t.section\t.debug_str\n\t{\n$L__info_string0:\n.b8 111,117,116,101,114,95,97,0\n"
      "$L__info_string2:\n.b8 105,110\n.b8 110,0\n\n\t}\n"
      ".section .debug_abbrev\n{\n.b8 1 // }\n.b32 .debug_str\n}\n",
      "test");
  const auto& in = module->find("k")->instructions;
  const auto& chains = module->chains;
  CHECK(chains[0].empty());
  CHECK_EQ(chains[in[0].chain].size(), 1);
  CHECK_EQ(chains[in[0].chain][0].function, "k");
  const Chain& chain = chains[in[1].chain];
  CHECK_EQ(chain.size(), 4);
  CHECK_EQ(chain[0].file, 4);
  CHECK_EQ(chain[0].line, 68);
  CHECK_EQ(chain[0].function, "inn");
  CHECK_EQ(chain[1].line, 133);
  CHECK_EQ(chain[1].function, "_a");
  CHECK_EQ(chain[2].function, "outer_a");
  CHECK_EQ(chain[3].line, 84);
  CHECK_EQ(chain[3].function, "k");
  // A caller that no .loc has named: taken to be the kernel.
  CHECK_EQ(chains[in[2].chain].size(), 2);
  CHECK_EQ(chains[in[2].chain][1].line, 2);
  CHECK_EQ(in[3].chain, in[2].chain);
  // Another kernel starts without a place, and its places are its own.
  const auto& other = module->find("other")->instructions;
  CHECK_EQ(other[0].chain, 0);
  CHECK_EQ(chains[other[1].chain].size(), 2);
  CHECK_EQ(chains[other[1].chain][1].function, "other");
}

}  // namespace

int main() {
  test_locations();
  return emulator::test::summary();
}
