// What device code calls of the CUDA runtime: printf and assert.
#include <unistd.h>

#include <cstdio>

#include "tests/check.h"
#include "tests/run_ptx.h"

namespace emulator::test {
namespace {

const std::string kDeclarations = R"(
.extern .func (.param .b32 func_retval0) vprintf(.param .b64 format, .param .b64 arguments);
.extern .func __assertfail(.param .b64 message, .param .b64 file, .param .b32 line,
                           .param .b64 function, .param .b64 char_size);
.extern .func (.param .b64 func_retval0) malloc(.param .b64 size);
)";

// A local array `name` with the text, and its generic address in `reg`.
std::string text_in(const std::string& name, const std::string& reg, const std::string& text) {
  std::string code = ".local .align 8 .b8 " + name + "[" + std::to_string(text.size() + 1) + "];\n";
  for (size_t i = 0; i <= text.size(); ++i) {
    const int byte = i < text.size() ? text[i] : 0;
    code += "mov.u32 %r9, " + std::to_string(byte) + "; st.local.u8 [" + name + "+" +
            std::to_string(i) + "], %r9;\n";
  }
  return code + "mov.u64 " + reg + ", " + name + "; cvta.local.u64 " + reg + ", " + reg + ";\n";
}

// Runs `f` and returns what it wrote to stdout.
template <typename F>
std::string printed_by(F f) {
  std::fflush(stdout);
  const int saved = dup(STDOUT_FILENO);
  std::FILE* const file = std::tmpfile();
  dup2(fileno(file), STDOUT_FILENO);
  f();
  std::fflush(stdout);
  dup2(saved, STDOUT_FILENO);
  close(saved);
  std::string text(static_cast<size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

const std::string kCallPrintf =
    "{ .param .b64 p0; st.param.b64 [p0], %rd3; .param .b64 p1; st.param.b64 [p1], %rd4;\n"
    ".param .b32 r0; call.uni (r0), vprintf, (p0, p1); ld.param.b32 %r2, [r0]; }\n";

void test_printf() {
  const Kernel kernel(text_in("format", "%rd3", "%d|%5u|%-4x|%s|%c|%lld|%7.3f|%e|%%|%p|%*d\n") +
                          text_in("word", "%rd5", "word") +
                          R"(
    .local .align 8 .b8 arguments[80];
    mov.u64 %rd4, arguments;
    cvta.local.u64 %rd4, %rd4;
    setp.ne.u32 %p1, %r1, 33;
    @%p1 ret;
    mov.u32 %r3, -5;
    st.local.u32 [arguments], %r3;
    st.local.u32 [arguments+4], %r1;
    st.local.u32 [arguments+8], %r1;
    st.local.u64 [arguments+16], %rd5;
    mov.u32 %r4, 65;
    st.local.u32 [arguments+24], %r4;
    mov.u64 %rd6, 1099511627776;
    st.local.u64 [arguments+32], %rd6;
    mov.f64 %rd7, 0d3FF8000000000000;
    st.local.u64 [arguments+40], %rd7;
    st.local.u64 [arguments+48], %rd7;
    mov.u64 %rd8, 4660;
    st.local.u64 [arguments+56], %rd8;
    mov.u32 %r5, 4;
    st.local.u32 [arguments+64], %r5;
    st.local.u32 [arguments+68], %r3;
)" + kCallPrintf + kStoreResult,
                      kDeclarations);
  Run run;
  const std::string text = printed_by([&] { run = kernel(64); });
  CHECK(run.finished);
  CHECK_EQ(run.findings.size(), 0);
  CHECK_EQ(text, "-5|   33|21  |word|A|1099511627776|  1.500|1.500000e+00|%|0x1234|  -5\n");
  CHECK_EQ(run.output[33], 11);
}

// CTAs print in their order, whoever runs first.
void test_order_of_output() {
  const Kernel kernel(text_in("format", "%rd3", "%d,") + R"(
    .local .align 8 .b8 arguments[8];
    mov.u64 %rd4, arguments;
    cvta.local.u64 %rd4, %rd4;
    st.local.u32 [arguments], %r1;
)" + kCallPrintf + "ret;",
                      kDeclarations);
  CHECK_EQ(printed_by([&] { kernel(2, 0, 4); }), "0,1,2,3,4,5,6,7,");
}

void test_bad_format() {
  const Kernel kernel("mov.u64 %rd3, 64; mov.u64 %rd4, 0;" + kCallPrintf + "ret;", kDeclarations);
  const Run run = kernel(1);
  CHECK_EQ(run.findings.size(), 1);
  CHECK(run.findings.at(0).find("out-of-bounds") != std::string::npos);
}

void test_assert() {
  const Kernel kernel(text_in("message", "%rd3", "n > 0") + text_in("file", "%rd4", "code.cu") +
                          text_in("function", "%rd5", "void k()") + R"(
    setp.ne.u32 %p1, %r1, 5;
    @%p1 bra FINE;
    { .param .b64 p0; st.param.b64 [p0], %rd3; .param .b64 p1; st.param.b64 [p1], %rd4;
      .param .b32 p2; st.param.b32 [p2], 12; .param .b64 p3; st.param.b64 [p3], %rd5;
      .param .b64 p4; st.param.b64 [p4], 1; call.uni __assertfail, (p0, p1, p2, p3, p4); }
  FINE:
    ret;
)",
                      kDeclarations);
  const Run run = kernel(32);
  CHECK(!run.finished);
  CHECK(run.failure == Failure::kAssert);
  CHECK_EQ(run.findings.size(), 1);
  CHECK(run.findings.at(0).find("assertion `n > 0` failed at code.cu:12 in void k()") !=
        std::string::npos);
  CHECK(run.findings.at(0).find("lane 5]") != std::string::npos);
}

void test_unknown_function() {
  const auto names_it = [](const UnknownInstruction& error) {
    return std::string(error.what()).find("malloc") != std::string::npos;
  };
  CHECK_THROWS(Kernel("{ .param .b64 p0; .param .b64 r0; call.uni (r0), malloc, (p0); } ret;",
                      kDeclarations),
               UnknownInstruction, names_it);
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  test_printf();
  test_order_of_output();
  test_bad_format();
  test_assert();
  test_unknown_function();
  return summary();
}
