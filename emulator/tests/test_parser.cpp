// The PTX front end on small texts. The ways in which nvcc writes things were taken from its
// output.
#include <bit>
#include <cstring>
#include <string>

#include "ptx/module.h"
#include "tests/check.h"

using namespace emulator::ptx;

namespace {

const std::string kHeader = ".version 9.0\n.target sm_80\n.address_size 64\n";
constexpr int kHeaderLines = 3;

std::unique_ptr<Module> parse_module(const std::string& text) {
  return parse(kHeader + text, "test");
}

// The statements as the body of a kernel with some registers.
std::unique_ptr<Module> parse_body(const std::string& statements) {
  return parse_module(
      ".visible .entry k(.param .u64 k_param_0) {\n"
      ".reg .pred %p<4>; .reg .b32 %r<9>; .reg .b64 %rd<5>; .reg .f32 %f<5>;\n" +
      statements + "\n}\n");
}

const Function& kernel(const Module& module) {
  return *module.find("k");
}

const Instruction& only(const Module& module) {
  CHECK_EQ(kernel(module).instructions.size(), 1);
  return kernel(module).instructions.front();
}

std::string name_of(const Module& module, int reg) {
  return reg < 0 ? "none" : kernel(module).registers[reg].name;
}

template <typename T>
T initial(const Variable& variable, size_t index) {
  T value;
  std::memcpy(&value, variable.initial.data() + index * sizeof(T), sizeof(T));
  return value;
}

void check_fails(const std::string& text, int line, const std::string& message) {
  const auto is_expected = [&](const ParseError& error) {
    if (error.line == line && error.message.find(message) != std::string::npos) return true;
    std::cerr << "line " << error.line << ": " << error.message << '\n';
    return false;
  };
  CHECK_THROWS(parse(text, "test"), ParseError, is_expected);
}

void test_header() {
  const auto module = parse_module(
      ".file 1 \"/src/a.cu\"\n.file\t2 \"/src/b.h\", 1700000000, 1234\n"
      ".extern .func (.param .b32 func_retval0) vprintf\n(\n.param .b64 a,\n.param .b64 b\n)\n;\n");
  CHECK_EQ(module->version, 90);
  CHECK_EQ(module->target, "sm_80");
  CHECK_EQ(module->name, "test");
  CHECK_EQ(module->files.at(2), "/src/b.h");
  const Function* vprintf = module->find("vprintf");
  CHECK(vprintf != nullptr && !vprintf->has_body && !vprintf->is_entry);
  CHECK_EQ(vprintf->parameters.size(), 2);
  CHECK_EQ(vprintf->results.front().bytes, 4);
  CHECK(module->find("nothing") == nullptr);
  CHECK_EQ(parse(".version 8.7\n.target sm_90a, debug\n.address_size 64\n", "").get()->target,
           "sm_90a");
}

void test_functions() {
  const auto module = parse_module(
      ".func (.param .b32 out) f(.param .align 8 .b8 s[24], .reg .b32 %x);\n"
      ".func (.param .b32 out) f(.param .align 8 .b8 s[24], .reg .b32 %x) .noreturn\n"
      "{ st.param.b32 [out+0], %x; ret; }\n"
      ".visible .entry k(.param .u64 .ptr .global .align 16 a, .param .u64 .ptr .align 1 b)\n"
      ".maxntid 128, 2\n.minnctapersm 2\n.maxnreg 64\n.explicitcluster\n"
      ".reqnctapercluster 2, 1, 1\n{ ret; }\n");
  const Function* f = module->find("f");
  CHECK(f->has_body);
  CHECK_EQ(f->parameters[0].bytes, 24);
  CHECK_EQ(f->parameters[0].alignment, 8);
  CHECK(f->parameters[1].space == Space::kReg);
  CHECK_EQ(f->registers.size(), 1);
  CHECK_EQ(f->instructions[0].operands[1].reg, 0);
  CHECK(kernel(*module).is_entry);
  CHECK_EQ(kernel(*module).parameters.size(), 2);
  CHECK_EQ(kernel(*module).parameters[0].alignment, 8);
  CHECK_EQ(kernel(*module).max_threads[0], 128);
  CHECK_EQ(kernel(*module).max_threads[1], 2);
  CHECK_EQ(kernel(*module).max_threads[2], 1);
}

void test_variables() {
  const auto module = parse_module(
      ".const .align 4 .b8 table[8] = {1, 0, 0, 0, 252, 0xFF, 255};\n"
      ".global .align 8 .u64 names[3] = {generic($str), generic(zeroed)+20, f};\n"
      ".global .align 1 .u8 packed[9] = {1, 0XFF(generic(g)+8), 0xFF00(generic(g)+8), "
      "0xFF0000(generic(g)+8), 0xFF000000(generic(g)+8), 0xFF00000000(generic(g)+8), "
      "0xFF0000000000(generic(g)+8), 0xFF000000000000(generic(g)+8), "
      "0xFF00000000000000(generic(g)+8)};\n"
      ".visible .global .attribute(.managed) .align 4 .f32 floats[3] = {0f3FC00000, 2.5, "
      "-1.0e+1};\n"
      ".global .f64 d = 0d3FF8000000000000;\n"
      ".global .align 2 .u16 negative = -3;\n"
      ".global .v4 .u32 v[2] = {{1, 2, 3, 4}, {5, 6, 7, 8}};\n"
      ".global .b32 open[] = {1, 2, 3};\n"
      ".extern .shared .align 16 .b8 dyn[];\n"
      ".global .align 4 .b8 grid[2][3];\n");
  const auto& v = module->variables;
  CHECK_EQ(v[0].initial.size(), 8);
  CHECK_EQ(initial<uint16_t>(v[0], 2), 0xFFFC);
  CHECK_EQ(initial<uint8_t>(v[0], 7), 0);
  CHECK(v[0].space == Space::kConst);
  CHECK_EQ(v[1].relocations.size(), 3);
  CHECK_EQ(v[1].relocations[1].offset, 8);
  CHECK_EQ(v[1].relocations[1].addend, 20);
  CHECK(v[1].relocations[1].generic && !v[1].relocations[2].generic);
  CHECK_EQ(v[2].relocations.size(), 1);
  CHECK_EQ(v[2].relocations[0].offset, 1);
  CHECK_EQ(v[2].relocations[0].symbol, "g");
  CHECK_EQ(initial<float>(v[3], 0), 1.5f);
  CHECK_EQ(initial<float>(v[3], 2), -10.0f);
  CHECK_EQ(initial<double>(v[4], 0), 1.5);
  CHECK_EQ(v[4].alignment, 8);
  CHECK_EQ(initial<int16_t>(v[5], 0), -3);
  CHECK_EQ(v[6].bytes, 32);
  CHECK_EQ(v[6].alignment, 16);
  CHECK_EQ(initial<uint32_t>(v[6], 5), 6);
  CHECK_EQ(v[7].bytes, 12);
  CHECK_EQ(initial<uint32_t>(v[7], 2), 3);
  CHECK(v[8].is_extern && v[8].bytes == 0 && v[8].initial.empty());
  CHECK_EQ(v[9].bytes, 6);
}

void test_immediates() {
  struct Row {
    const char* text;
    Literal literal;
    int64_t value;
  };
  const Row rows[] = {
      {"0", Literal::kInteger, 0},
      {"-1", Literal::kInteger, -1},
      {"0x7FFFFFFF", Literal::kInteger, 0x7FFFFFFF},
      {"0XaU", Literal::kUnsigned, 10},
      {"017", Literal::kInteger, 15},
      {"0b101", Literal::kInteger, 5},
      {"-2147483648", Literal::kInteger, -2147483648LL},
      {"18446744073709551615", Literal::kUnsigned, -1},
      {"0f3F800000", Literal::kFloat32Bits, 0x3F800000},
      {"0Fbf800000", Literal::kFloat32Bits, 0xBF800000},
      {"-0f3F800000", Literal::kFloat32Bits, 0xBF800000},
      {"0d4000000000000000", Literal::kFloat64Bits, 0x4000000000000000},
      {"1.5", Literal::kFloat64Bits, std::bit_cast<int64_t>(1.5)},
      {"-2.5e-3", Literal::kFloat64Bits, std::bit_cast<int64_t>(-2.5e-3)},
      {"WARP_SZ", Literal::kInteger, 32},
  };
  for (const Row& row : rows) {
    const auto module = parse_body(std::string("mov.b32 %r1, ") + row.text + ";");
    const Operand& operand = only(*module).operands[1];
    CHECK(operand.kind == OperandKind::kImmediate);
    CHECK(operand.literal == row.literal);
    CHECK_EQ(operand.value, row.value);
  }
}

void test_opcode_and_text() {
  const auto module = parse_body(
      "@!%p2 mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32\n"
      "\t{%f1,%f2,%f3,%f4}, {%r1,%r2, %r3,%r4}, // the operand A\n"
      "\t{%r5,%r6,%r7,%r8}, {%f1,%f2,%f3,%f4}, %r0, 0x1;");
  const Instruction& mma = only(*module);
  CHECK_EQ(mma.opcode, "mma");
  CHECK(mma.has("sp::ordered_metadata") && mma.has("m16n8k32") && !mma.has("sp"));
  CHECK_EQ(mma.full_opcode(),
           "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32");
  CHECK_EQ(name_of(*module, mma.guard), "%p2");
  CHECK(mma.guard_negated);
  CHECK_EQ(mma.operands.size(), 6);
  CHECK_EQ(name_of(*module, mma.operands[1].elements[3].reg), "%r4");
  CHECK_EQ(mma.operands[5].value, 1);
  CHECK_EQ(mma.line, kHeaderLines + 3);
  CHECK_EQ(mma.text,
           "@!%p2 mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 "
           "{%f1,%f2,%f3,%f4}, {%r1,%r2, %r3,%r4}, {%r5,%r6,%r7,%r8}, {%f1,%f2,%f3,%f4}, %r0, 0x1");
}

void test_addresses() {
  const auto module = parse_body(
      ".shared .align 4 .b8 smem[64];\n"
      "ld.global.v4.u32 {%r1,%r2,%r3,_}, [%rd1+16];\n"
      "ld.u32 %r1, [%rd1+-16];\n"
      "ld.u32 %r1, [%rd1-8];\n"
      "st.shared.b32 [smem+12], %r1;\n"
      "ld.shared.u32 %r1, [64];\n"
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%r1], [%rd1, {%r2, %r3}], [%r4];\n"
      "mov.u32 %r1, smem+4;\n"
      "mov.b32 %f1, {0,%r2};\n");
  const auto& in = kernel(*module).instructions;
  CHECK(in[0].operands[0].kind == OperandKind::kVector);
  CHECK(in[0].operands[0].elements[3].kind == OperandKind::kSink);
  CHECK_EQ(in[0].operands[1].value, 16);
  CHECK_EQ(name_of(*module, in[0].operands[1].reg), "%rd1");
  CHECK_EQ(in[1].operands[1].value, -16);
  CHECK_EQ(in[2].operands[1].value, -8);
  CHECK(in[3].operands[0].kind == OperandKind::kAddress);
  CHECK_EQ(in[3].operands[0].symbol, "smem");
  CHECK_EQ(in[3].operands[0].value, 12);
  CHECK_EQ(in[4].operands[1].value, 64);
  CHECK_EQ(in[4].operands[1].reg, -1);
  CHECK(in[4].operands[1].symbol.empty());
  CHECK(in[5].has("shared::cluster") && in[5].has("mbarrier::complete_tx::bytes"));
  CHECK(in[5].operands[1].kind == OperandKind::kAddress);
  CHECK_EQ(in[5].operands[1].elements[0].elements.size(), 2);
  CHECK(in[6].operands[1].kind == OperandKind::kSymbol);
  CHECK_EQ(in[6].operands[1].value, 4);
  CHECK(in[7].operands[1].elements[0].kind == OperandKind::kImmediate);
}

void test_special_and_predicates() {
  const auto module = parse_body(
      "mov.u32 %r1, %tid.x;\nmov.u32 %r1, %laneid;\n"
      "shfl.sync.bfly.b32 %r1|%p1, %r2, 3, 31, -1;\n"
      "setp.lt.and.s32 %p1|_, %r1, %r2, !%p3;\n"
      "setp.lt.s32 _|%p2, %r1, %r2;\n");
  const auto& in = kernel(*module).instructions;
  CHECK(in[0].operands[1].kind == OperandKind::kSpecial);
  CHECK_EQ(in[0].operands[1].symbol, "%tid.x");
  CHECK_EQ(in[1].operands[1].symbol, "%laneid");
  CHECK_EQ(name_of(*module, in[2].operands[0].second), "%p1");
  CHECK_EQ(in[2].operands[4].value, -1);
  CHECK_EQ(in[3].operands[0].second, -1);
  CHECK(in[3].operands[3].negated);
  CHECK_EQ(name_of(*module, in[3].operands[3].reg), "%p3");
  CHECK(in[4].operands[0].kind == OperandKind::kSink);
  CHECK_EQ(name_of(*module, in[4].operands[0].second), "%p2");
}

void test_calls() {
  const auto module = parse_body(
      "{ // callseq 0, 0\n.param .b32 param0;\nst.param.b32 [param0+0], %r1;\n"
      ".param .align 4 .b8 retval0[8];\ncall.uni (retval0), \nf, \n(\nparam0\n);\n"
      "ld.param.b32 %r2, [retval0+4];\n} // callseq 0\n"
      "{ .param .b32 param0;\nst.param.b32 [param0], %r1;\n"
      "prototype_4 : .callprototype (.param .b32 _) _ (.param .b32 _) .noreturn;\n"
      "call (retval0), %rd1, (param0), prototype_4; }\n"
      "call g;\n");
  const auto& in = kernel(*module).instructions;
  const auto& variables = kernel(*module).variables;
  CHECK_EQ(variables.size(), 3);
  CHECK(variables[0].name != variables[2].name);
  CHECK_EQ(in[0].operands[0].symbol, variables[0].name);
  CHECK_EQ(in[1].operands.size(), 3);
  CHECK_EQ(in[1].operands[0].elements[0].symbol, variables[1].name);
  CHECK_EQ(in[1].operands[1].symbol, "f");
  CHECK_EQ(in[1].operands[2].elements[0].symbol, variables[0].name);
  CHECK_EQ(in[1].text, "call.uni (retval0), f, ( param0 )");
  CHECK_EQ(in[2].operands[1].symbol, variables[1].name);
  CHECK_EQ(in[3].operands[0].symbol, variables[2].name);
  CHECK(in[4].operands[1].kind == OperandKind::kRegister);
  CHECK(in[4].operands[3].kind == OperandKind::kSymbol);
  CHECK_EQ(in[5].operands.size(), 1);
}

void test_labels() {
  const auto module = parse_body(
      "@%p1 bra $L__BB0_2;\nL: mov.u32 %r1, 1;\n"
      "{ .reg .pred p; .reg .b32 %r<2>;\n"
      "setp.ne.b32 p, %r1, 0;\n@!p bra L;\n mov.b32 %r8, %r1;\nL:\n}\n"
      "$L__BB0_2:\n"
      "$L_brx_0: .branchtargets\n\tL,\n\t$L__BB0_2,\n\tEnd;\nbrx.idx %r1, $L_brx_0;\n"
      "bra.uni L;\nEnd:\n");
  const Function& k = kernel(*module);
  const auto& in = k.instructions;
  CHECK_EQ(k.labels.size(), 4);
  CHECK_EQ(k.labels.at("L"), 1);
  CHECK_EQ(k.labels.at(in[3].operands[0].symbol), 5);
  CHECK(in[3].operands[0].symbol != "L");
  CHECK_EQ(in[6].operands[0].symbol, "L");
  CHECK_EQ(k.labels.at("$L__BB0_2"), 5);
  CHECK_EQ(k.labels.at("End"), 7);
  CHECK_EQ(k.branch_targets.at(in[5].operands[1].symbol).size(), 3);
  CHECK_EQ(k.branch_targets.at("$L_brx_0")[2], "End");
  // The inner %r1 hides the outer one; %r8 is the outer's.
  CHECK(in[2].operands[1].reg != in[0].operands.at(0).reg);
  CHECK(in[2].operands[1].reg != in[1].operands[0].reg);
  CHECK_EQ(in[4].operands[1].reg, in[2].operands[1].reg);
  CHECK_EQ(in[4].operands[0].reg, in[1].operands[0].reg + 7);
  CHECK(k.registers[in[2].operands[0].reg].type == Type::kPred);
}

void test_types() {
  CHECK(type_named("f16x2") == Type::kF16x2);
  CHECK(type_named("b7") == Type::kNone);
  CHECK_EQ(bits_of(Type::kBF16x2), 32);
  CHECK_EQ(bits_of(Type::kNone), 0);
  CHECK_EQ(bits_of(Type::kPred), 1);
  CHECK_EQ(bits_of(Type::kE5M2x2), 16);
  CHECK_EQ(bits_of(type_named("b128")), 128);
}

void test_errors() {
  const std::string body = kHeader + ".entry k() {\n.reg .b32 %r<3>;\n";
  constexpr int kLine = kHeaderLines + 3;
  check_fails("", 1, ".version");
  check_fails(kHeader + "\n.wonder x;\n", 5, "unknown directive '.wonder'");
  check_fails(kHeader + ".entry k()\n.swift\n{ }\n", 5, "unknown directive '.swift'");
  check_fails(kHeader + ".global .q32 x;\n", 4, "expected a type, found '.q32'");
  check_fails(kHeader + ".global .b8 x[2] = {1,2,3};\n", 4, "more initial values than 'x'");
  check_fails(kHeader + ".global .u32 x = f;\n", 4, "64-bit");
  check_fails(kHeader + ".global .u8 x[8] = {0xFF(f), 0xFF00(f)};\n", 4, "eight");
  check_fails(kHeader + ".global .u8 x[8] = {0xFF00(f)};\n", 4, "in order");
  check_fails(body + "mov.b32 %r1, ;\n}", kLine, "expected an operand, found ';'");
  check_fails(body + "mov.b32 %r1, 0f3F80;\n}", kLine, "malformed number '0f3F80'");
  check_fails(body + "mov.b32 %r1, 09;\n}", kLine, "malformed number '09'");
  check_fails(body + "mov.b32 %r1\n%r2;\n}", kLine + 1, "expected ';', found '%r2'");
  check_fails(body + "@p mov.b32 %r1, %r2;\n}", kLine, "no register 'p'");
  check_fails(body + "ld.u32 %r1, [%tid.x];\n}", kLine, "an address must start");
  check_fails(body + "\n.reg .pred %r<9>;\n}", kLine + 1, "declared twice");
  check_fails(body + "L: ret;\nL: ret;\n}", kLine + 1, "label 'L' stands twice");
  check_fails(body + "{ ret;", kLine, "'{' without its '}'");
  check_fails(body + "ret;", kLine, "the end of the text");
  check_fails(body + "/* ret;", kLine, "comment without end");
}

// A text that is cut short is refused, wherever the cut is.
void test_truncated() {
  const std::string text =
      kHeader +
      ".global .u64 g[2] = {generic(h)+4, 0xFFU};\n.entry k(.param .b8 p[8]) .maxntid 4, 1\n{\n"
      ".reg .pred %p<2>;\n.loc 1 2 3, function_name n, inlined_at 4 5 6\n"
      "{ @!%p1 call.uni (_), f, (p); /* a */ L: bra L; }\n"
      "setp.lt.s32 %p0|%p1, -1, 0f3F800000; // b\nst.v2.b32 [p+4], {1, _};\n}\n";
  int num_accepted = 0;
  for (size_t size = 0; size < text.size(); ++size) {
    try {
      parse(text.substr(0, size), "test");
      ++num_accepted;
    } catch (const ParseError&) {
    }
  }
  // Whole so far: behind the version, the target, the address size, the variable and the function.
  CHECK(num_accepted > 0 && num_accepted < 40);
  CHECK(parse(text, "test")->find("k")->has_body);
}

}  // namespace

int main() {
  test_header();
  test_functions();
  test_variables();
  test_immediates();
  test_opcode_and_text();
  test_addresses();
  test_special_and_predicates();
  test_calls();
  test_labels();
  test_types();
  test_errors();
  test_truncated();
  return emulator::test::summary();
}
