#include "ptx/variable.h"

#include <bit>
#include <cstring>
#include <utility>

#include "ptx/literal.h"

namespace emulator::ptx {
namespace {

constexpr int kAddressBytes = 8;

int bytes_of(Type type) {
  return bits_of(type) / 8;
}

// Reads `= ...` into a variable. Where the first dimension is left open, the list gives its size.
class Initialiser {
 public:
  Initialiser(Lexer& lexer, Variable& variable)
      : lexer_(lexer), variable_(variable), element_bytes_(bytes_of(variable.type)) {}

  void parse(bool is_open_array) {
    is_open_array_ = is_open_array;
    variable_.initial.resize(variable_.bytes);
    parse_value();
    if (is_open_array_) variable_.bytes = offset_;
    if (num_masked_bytes_ != 0) lexer_.fail("an address in bytes must have eight of them");
  }

 private:
  struct Address {
    std::string symbol;
    int64_t addend = 0;
    bool generic = false;
  };

  void parse_value() {
    if (lexer_.accept('{')) {
      do parse_value();
      while (lexer_.accept(','));
      lexer_.expect('}');
    } else if (starts_number(lexer_.peek())) {
      const Number number = parse_number(lexer_);
      if (lexer_.accept('(')) {
        add_masked_byte(number.value, parse_address());
        lexer_.expect(')');
      } else {
        add_number(number);
      }
    } else {
      if (element_bytes_ != kAddressBytes) lexer_.fail("an address needs a 64-bit element");
      add_relocation(parse_address());
      take_bytes(kAddressBytes);
    }
  }

  Address parse_address() {
    Address address;
    address.generic = lexer_.accept("generic");
    if (address.generic) lexer_.expect('(');
    address.symbol = lexer_.expect(TokenKind::kWord, "a number or a symbol").text;
    if (address.generic) lexer_.expect(')');
    if (lexer_.accept('+')) {
      address.addend = parse_integer(lexer_);
    } else if (lexer_.peek().is('-')) {
      address.addend = parse_integer(lexer_);
    }
    return address;
  }

  void add_relocation(Address address) {
    variable_.relocations.push_back(
        {offset_, std::move(address.symbol), address.addend, address.generic});
  }

  // 0xFF00(symbol) is the second byte of the symbol's address: all eight follow each other.
  void add_masked_byte(int64_t mask, Address address) {
    constexpr uint64_t kFirstMask = 0xFF;
    if (element_bytes_ != 1) lexer_.fail("a masked address needs byte elements");
    if (static_cast<uint64_t>(mask) != kFirstMask << (8 * num_masked_bytes_)) {
      lexer_.fail("the masks of an address must select its bytes in order");
    }
    if (num_masked_bytes_ == 0) {
      add_relocation(std::move(address));
    } else if (variable_.relocations.back().symbol != address.symbol ||
               variable_.relocations.back().addend != address.addend) {
      lexer_.fail("an address in bytes must have eight of them");
    }
    take_bytes(1);
    num_masked_bytes_ = (num_masked_bytes_ + 1) % kAddressBytes;
  }

  void add_number(const Number& number) {
    uint64_t bits = static_cast<uint64_t>(number.value);
    if (variable_.type == Type::kF32 && number.literal == Literal::kFloat64Bits) {
      bits = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
    } else if (variable_.type == Type::kF64 && number.literal == Literal::kFloat32Bits) {
      const double value = std::bit_cast<float>(static_cast<uint32_t>(bits));
      bits = std::bit_cast<uint64_t>(value);
    }
    // A 128-bit element is given by its low half.
    std::byte* const element = take_bytes(element_bytes_);
    std::memcpy(element, &bits, std::min<size_t>(element_bytes_, sizeof bits));
  }

  std::byte* take_bytes(int64_t num) {
    const int64_t offset = std::exchange(offset_, offset_ + num);
    if (is_open_array_) variable_.initial.resize(offset_);
    if (offset_ > std::ssize(variable_.initial)) {
      lexer_.fail("more initial values than '" + variable_.name + "' has elements");
    }
    return variable_.initial.data() + offset;
  }

  Lexer& lexer_;
  Variable& variable_;
  int element_bytes_;
  bool is_open_array_ = false;
  int64_t offset_ = 0;
  int num_masked_bytes_ = 0;  // of the address that is being given byte by byte
};

}  // namespace

Space space_of(std::string_view directive) {
  if (directive == ".reg") return Space::kReg;
  if (directive == ".param") return Space::kParam;
  if (directive == ".const") return Space::kConst;
  if (directive == ".global") return Space::kGlobal;
  if (directive == ".shared") return Space::kShared;
  if (directive == ".local") return Space::kLocal;
  return Space::kGeneric;
}

void skip_attribute(Lexer& lexer) {
  lexer.expect('(');
  for (int depth = 1; depth > 0;) {
    const Token token = lexer.next();
    if (token.kind == TokenKind::kEnd) lexer.unexpected("')'");
    depth += token.is('(') - token.is(')');
  }
}

VariableHead parse_variable_head(Lexer& lexer) {
  VariableHead head;
  while (lexer.peek().kind == TokenKind::kDotWord) {
    const std::string_view word = lexer.peek().text;
    if (lexer.accept(".align")) {
      head.alignment = static_cast<int>(parse_integer(lexer));
    } else if (lexer.accept(".ptr")) {
      // What a parameter points to is said for the optimiser: a space and an alignment.
      if (space_of(lexer.peek().text) != Space::kGeneric) lexer.next();
      if (lexer.accept(".align")) parse_integer(lexer);
    } else if (lexer.accept(".attribute")) {
      skip_attribute(lexer);
    } else if (word == ".v2" || word == ".v4" || word == ".v8") {
      head.num_elements = word[2] - '0';
      lexer.next();
    } else {
      head.type = type_named(word.substr(1));
      if (head.type == Type::kNone) lexer.unexpected("a type");
      lexer.next();
    }
  }
  if (head.type == Type::kNone) lexer.unexpected("a type");
  return head;
}

Variable parse_variable(Lexer& lexer, Space space, const VariableHead& head) {
  Variable variable;
  variable.name = lexer.expect(TokenKind::kWord, "a variable's name").text;
  variable.space = space;
  variable.type = head.type;
  variable.bytes = bytes_of(head.type) * head.num_elements;
  variable.alignment = head.alignment ? head.alignment : static_cast<int>(variable.bytes);
  bool is_open_array = false;
  while (lexer.accept('[')) {
    if (lexer.peek().is(']')) {
      is_open_array = true;
    } else {
      variable.bytes *= parse_integer(lexer);
    }
    lexer.expect(']');
  }
  if (is_open_array) variable.bytes = 0;
  if (lexer.accept('=')) Initialiser(lexer, variable).parse(is_open_array);
  return variable;
}

std::vector<Variable> parse_parameters(Lexer& lexer) {
  std::vector<Variable> parameters;
  lexer.expect('(');
  if (lexer.accept(')')) return parameters;
  do {
    const Space space = space_of(lexer.peek().text);
    if (space != Space::kParam && space != Space::kReg) lexer.unexpected(".param or .reg");
    lexer.next();
    const VariableHead head = parse_variable_head(lexer);
    parameters.push_back(parse_variable(lexer, space, head));
  } while (lexer.accept(','));
  lexer.expect(')');
  return parameters;
}

}  // namespace emulator::ptx
