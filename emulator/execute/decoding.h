// What every decoder does: takes modifiers one by one, gives operands their places, and refuses
// whatever is left over, so that no modifier and no operand is ever ignored.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "execute/decoder.h"

namespace emulator {

template <typename T>
struct Named {
  std::string_view name;
  T value;
};

class Decoding {
 public:
  Decoding(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
           std::vector<int32_t>& operands);

  // Whether the modifier is there.
  bool take(std::string_view modifier);
  // The next type among the modifiers; refuses where something else comes first.
  ptx::Type take_type();
  // The type that the instruction's last modifier names, taken or not; kNone if it names none.
  ptx::Type last_type() const;
  // The value of whichever of `choices` is there; empty if none is.
  template <typename T>
  std::optional<T> take_one(std::initializer_list<Named<T>> choices) {
    for (const Named<T>& choice : choices) {
      if (take(choice.name)) return choice.value;
    }
    return std::nullopt;
  }
  // As above, where one of them must be there.
  template <typename T>
  T require_one(std::initializer_list<Named<T>> choices) {
    if (const std::optional<T> value = take_one(choices)) return *value;
    refuse("lacks a modifier");
  }

  // The next operand of the instruction, in the order in which they are written.
  const ptx::Operand& next();
  bool has_next() const { return next_operand_ < instruction.operands.size(); }
  // Give the next operand its place in Op::operands; a register of another width than the type is
  // refused.
  void define(ptx::Type type);
  void use(ptx::Type type);
  // A destination `d|p`: a place for each; `_`, or a p that is absent, goes to scratch.
  // Returns whether p is there.
  bool define_pair(ptx::Type type);
  // A source predicate that may be negated: returns whether it is.
  bool use_predicate();
  // An operand that must be an immediate integer.
  int64_t constant();
  // The member mask of a .sync instruction, also appended to Op::operands.
  void use_sync_mask();
  // An offset that is no operand of the instruction.
  void append(int32_t offset) { operands_.push_back(offset); }

  // A handler with one destination; null is refused as an unknown combination.
  void bind(Handler handler, ptx::Type destination, std::initializer_list<ptx::Type> sources);
  void set_handler(Handler handler) { op.handler = handler; }

  // Refuses what nothing has taken, and a handler that was not found.
  void finish();
  [[noreturn]] void refuse(const std::string& why) const;

  const ptx::Instruction& instruction;
  DecodeContext& context;
  Op& op;

 private:
  void check_width(const ptx::Operand& operand, ptx::Type type) const;

  std::vector<int32_t>& operands_;
  std::vector<bool> taken_;
  size_t next_operand_ = 0;
};

// A Decoder from a function on Decoding.
template <void (*decode)(Decoding&)>
void decoder(const ptx::Instruction& instruction, DecodeContext& context, Op& op,
             std::vector<int32_t>& operands) {
  Decoding decoding(instruction, context, op, operands);
  decode(decoding);
  decoding.finish();
}

inline bool is_float(ptx::Type type) {
  switch (type) {
    case ptx::Type::kF16:
    case ptx::Type::kF16x2:
    case ptx::Type::kBF16:
    case ptx::Type::kBF16x2:
    case ptx::Type::kF32:
    case ptx::Type::kF64:
      return true;
    default:
      return false;
  }
}

inline bool is_signed(ptx::Type type) {
  return type == ptx::Type::kS8 || type == ptx::Type::kS16 || type == ptx::Type::kS32 ||
         type == ptx::Type::kS64;
}

// Opcodes that integers and floating point share: the instruction's type is its last modifier.
template <void (*integer)(Decoding&), void (*floating)(Decoding&)>
void by_type(Decoding& decoding) {
  is_float(decoding.last_type()) ? floating(decoding) : integer(decoding);
}

inline bool is_integer(ptx::Type type) {
  return is_signed(type) || type == ptx::Type::kU8 || type == ptx::Type::kU16 ||
         type == ptx::Type::kU32 || type == ptx::Type::kU64;
}

// handler_of.operator()<T>() for the C++ integer type T of .u16 to .s64; null for other types.
template <typename HandlerOf>
Handler for_integer(ptx::Type type, HandlerOf handler_of) {
  switch (type) {
    case ptx::Type::kU16:
      return handler_of.template operator()<uint16_t>();
    case ptx::Type::kS16:
      return handler_of.template operator()<int16_t>();
    case ptx::Type::kU32:
      return handler_of.template operator()<uint32_t>();
    case ptx::Type::kS32:
      return handler_of.template operator()<int32_t>();
    case ptx::Type::kU64:
      return handler_of.template operator()<uint64_t>();
    case ptx::Type::kS64:
      return handler_of.template operator()<int64_t>();
    default:
      return nullptr;
  }
}

// The same for what depends only on a type's width.
template <typename HandlerOf>
Handler for_width(ptx::Type type, HandlerOf handler_of) {
  switch (ptx::bits_of(type)) {
    case 16:
      return handler_of.template operator()<uint16_t>();
    case 32:
      return handler_of.template operator()<uint32_t>();
    case 64:
      return handler_of.template operator()<uint64_t>();
    default:
      return nullptr;
  }
}

}  // namespace emulator
