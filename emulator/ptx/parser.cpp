// Directives at module level, and functions up to their bodies.
#include <utility>

#include "ptx/body.h"
#include "ptx/lexer.h"
#include "ptx/literal.h"
#include "ptx/locations.h"
#include "ptx/module.h"
#include "ptx/variable.h"

namespace emulator::ptx {
namespace {

class ModuleParser {
 public:
  ModuleParser(std::string_view text, std::string name)
      : lexer_(text), module_(std::make_unique<Module>()) {
    module_->name = std::move(name);
  }

  std::unique_ptr<Module> parse() {
    while (lexer_.peek().kind != TokenKind::kEnd) parse_directive();
    if (module_->version == 0) lexer_.fail("not PTX: it has no .version");
    module_->chains = locations_.finish();
    return std::move(module_);
  }

 private:
  void parse_directive() {
    if (lexer_.accept(".version")) return parse_version();
    if (lexer_.accept(".target")) return parse_target();
    if (lexer_.accept(".address_size")) return parse_address_size();
    if (lexer_.accept(".file")) return parse_file();
    if (lexer_.accept(".section")) return parse_section();
    if (lexer_.accept(".pragma")) {
      lexer_.expect(TokenKind::kString, "a string");
      return lexer_.expect(';');
    }
    parse_declaration();
  }

  // "9.0" is 90.
  void parse_version() {
    const Token token = lexer_.expect(TokenKind::kNumber, "a version");
    const size_t dot = token.text.find('.');
    if (dot == std::string_view::npos || dot == 0 || dot + 2 != token.text.size()) {
      throw ParseError{token.line, "malformed version '" + std::string(token.text) + "'"};
    }
    const int major = std::stoi(std::string(token.text.substr(0, dot)));
    module_->version = major * 10 + (token.text[dot + 1] - '0');
  }

  void parse_target() {
    module_->target = lexer_.expect(TokenKind::kWord, "a target").text;
    while (lexer_.accept(',')) lexer_.expect(TokenKind::kWord, "an option of the target");
  }

  void parse_address_size() {
    constexpr int64_t kAddressBits = 64;
    if (parse_integer(lexer_) != kAddressBits) lexer_.fail("only 64-bit addresses are supported");
  }

  // .file INDEX "PATH" [, TIMESTAMP, SIZE]
  void parse_file() {
    const int index = static_cast<int>(parse_integer(lexer_));
    module_->files[index] = lexer_.expect(TokenKind::kString, "a path").text;
    while (lexer_.accept(',')) parse_integer(lexer_);
  }

  // Of the debugging sections only the names of inlined functions are wanted.
  void parse_section() {
    const bool is_wanted = lexer_.next().is(".debug_str");
    lexer_.expect('{');
    while (!lexer_.accept('}')) {
      const Token token = lexer_.next();
      if (token.kind == TokenKind::kEnd) lexer_.unexpected("'}'");
      if (!is_wanted) continue;
      if (token.is(".b8")) {
        parse_string_bytes();
      } else if (token.kind == TokenKind::kWord && lexer_.accept(':')) {
        locations_.define_label(token.text);
      } else {
        throw ParseError{token.line, "unexpected '" + std::string(token.text) + "' in .debug_str"};
      }
    }
  }

  void parse_string_bytes() {
    std::string bytes;
    do bytes += static_cast<char>(parse_integer(lexer_));
    while (lexer_.accept(','));
    locations_.append_string_bytes(bytes);
  }

  // A function or a variable with its linkage.
  void parse_declaration() {
    bool is_extern = false;
    while (true) {
      if (lexer_.accept(".extern")) {
        is_extern = true;
      } else if (!lexer_.accept(".visible") && !lexer_.accept(".weak") &&
                 !lexer_.accept(".common")) {
        break;
      }
    }
    if (lexer_.accept(".entry")) return parse_function(true);
    if (lexer_.accept(".func")) return parse_function(false);
    const Space space = space_of(lexer_.peek().text);
    if (space != Space::kGlobal && space != Space::kConst && space != Space::kShared) {
      lexer_.fail("unknown directive '" + std::string(lexer_.peek().text) + "'");
    }
    lexer_.next();
    const VariableHead head = parse_variable_head(lexer_);
    do {
      module_->variables.push_back(parse_variable(lexer_, space, head));
      module_->variables.back().is_extern = is_extern;
    } while (lexer_.accept(','));
    lexer_.expect(';');
  }

  void parse_function(bool is_entry) {
    auto function = std::make_unique<Function>();
    function->is_entry = is_entry;
    if (lexer_.accept(".attribute")) skip_attribute(lexer_);
    if (lexer_.peek().is('(')) function->results = parse_parameters(lexer_);
    const Token name = lexer_.expect(TokenKind::kWord, "a function's name");
    function->name = name.text;
    if (lexer_.peek().is('(')) function->parameters = parse_parameters(lexer_);
    while (lexer_.peek().kind == TokenKind::kDotWord) parse_function_directive(*function);
    if (!lexer_.accept(';')) {
      function->has_body = true;
      BodyParser(lexer_, *function, locations_).parse();
    }
    module_->functions.push_back(std::move(function));
  }

  void parse_function_directive(Function& function) {
    const Token directive = lexer_.next();
    if (directive.is(".maxntid") || directive.is(".reqntid")) {
      int num = 0;
      for (int& extent : function.max_threads) extent = 1;
      do function.max_threads[num++] = static_cast<int>(parse_integer(lexer_));
      while (num < 3 && lexer_.accept(','));
    } else if (directive.is(".pragma")) {
      lexer_.expect(TokenKind::kString, "a string");
      lexer_.expect(';');
    } else if (is_hint(directive)) {
      // Numbers for the compiler's register allocation and for cluster launches.
      while (starts_number(lexer_.peek())) {
        parse_integer(lexer_);
        lexer_.accept(',');
      }
    } else {
      throw ParseError{directive.line, "unknown directive '" + std::string(directive.text) + "'"};
    }
  }

  static bool is_hint(const Token& directive) {
    constexpr std::string_view kHints[] = {
        ".noreturn",       ".minnctapersm",        ".maxnctapersm",      ".maxnreg",
        ".maxclusterrank", ".explicitcluster",     ".reqnctapercluster", ".blocksareclusters",
        ".abi_preserve",   ".abi_preserve_control"};
    for (std::string_view hint : kHints) {
      if (directive.is(hint)) return true;
    }
    return false;
  }

  Lexer lexer_;
  std::unique_ptr<Module> module_;
  LineTable locations_;
};

}  // namespace

std::unique_ptr<Module> parse(std::string_view text, std::string name) {
  return ModuleParser(text, std::move(name)).parse();
}

}  // namespace emulator::ptx
