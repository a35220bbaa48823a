// ld, ldu, st.
#include <cstring>
#include <type_traits>

#include "memory/memory_decoding.h"

namespace emulator {
namespace {

constexpr int kMostElements = 4;

struct Quadword {  // .b128
  uint64_t words[2];
};
struct Register16 {  // a 16-bit register: the lower half of a word, the upper half is zero
  uint32_t word;
};

struct TransferForm;
using Mover = void (*)(Warp& warp, const Op& op, const TransferForm& form, const Places& places,
                       LaneMask active);

struct TransferForm {
  AddressForm address;
  int bytes = 0;  // a lane's
  int num_elements = 1;
  bool strong = false;
  Mover move = nullptr;
};

template <typename Memory, typename Register>
Register widen(Memory value) {
  if constexpr (std::is_same_v<Memory, Quadword>) {
    return value;
  } else if constexpr (std::is_same_v<Register, Quadword>) {
    return {{static_cast<uint64_t>(value), 0}};
  } else if constexpr (std::is_same_v<Register, Register16>) {
    return {static_cast<uint16_t>(value)};
  } else {
    return static_cast<Register>(value);
  }
}

template <typename Memory, typename Register>
Memory narrow(Register value) {
  if constexpr (std::is_same_v<Memory, Register>) {
    return value;
  } else if constexpr (std::is_same_v<Register, Quadword>) {
    return static_cast<Memory>(value.words[0]);
  } else {
    return static_cast<Memory>(value);
  }
}

template <typename T>
T* registers(Warp& warp, int32_t offset) {
  return reinterpret_cast<T*>(warp.u32(offset));
}

template <typename Memory, typename Register>
void load_elements(Warp& warp, const Op& op, const TransferForm& form, const Places& places,
                   LaneMask active) {
  if (sizeof(Memory) == 4 && sizeof(Register) == 4 && form.num_elements == 1 && places.first) {
    std::memcpy(warp.u32(op.operands[1]), places.first, sizeof(uint32_t) * kWarpLanes);
    return;
  }
  for (int element = 0; element < form.num_elements; ++element) {
    Register* to = registers<Register>(warp, op.operands[1 + element]);
    const size_t within = element * sizeof(Memory);
    const auto load = [&](int lane, const std::byte* from) {
      Memory value;
      std::memcpy(&value, from + within, sizeof(Memory));
      to[lane] = widen<Memory, Register>(value);
    };
    if (places.first != nullptr) {
      const int64_t step = form.num_elements * static_cast<int64_t>(sizeof(Memory));
      for (int lane = 0; lane < kWarpLanes; ++lane) load(lane, places.first + lane * step);
    } else {
      for_lanes(active, [&](int lane) { load(lane, places.lane[lane]); });
    }
  }
}

template <typename Memory, typename Register>
void store_elements(Warp& warp, const Op& op, const TransferForm& form, const Places& places,
                    LaneMask active) {
  if (sizeof(Memory) == 4 && sizeof(Register) == 4 && form.num_elements == 1 && places.first) {
    std::memcpy(places.first, warp.u32(op.operands[1]), sizeof(uint32_t) * kWarpLanes);
    return;
  }
  for (int element = 0; element < form.num_elements; ++element) {
    const Register* from = registers<Register>(warp, op.operands[1 + element]);
    const size_t within = element * sizeof(Memory);
    const auto store = [&](int lane, std::byte* to) {
      const Memory value = narrow<Memory>(from[lane]);
      std::memcpy(to + within, &value, sizeof(Memory));
    };
    if (places.first != nullptr) {
      const int64_t step = form.num_elements * static_cast<int64_t>(sizeof(Memory));
      for (int lane = 0; lane < kWarpLanes; ++lane) store(lane, places.first + lane * step);
    } else {
      for_lanes(active, [&](int lane) { store(lane, places.lane[lane]); });
    }
  }
}

template <typename Memory>
Mover loader(int register_bits) {
  if (register_bits == 16) return &load_elements<Memory, Register16>;
  if (register_bits == 64) return &load_elements<Memory, uint64_t>;
  if (register_bits == 128) return &load_elements<Memory, Quadword>;
  return &load_elements<Memory, uint32_t>;
}

template <typename Memory>
Mover storer(int register_bits) {
  if (register_bits == 64) return &store_elements<Memory, uint64_t>;
  if (register_bits == 128) return &store_elements<Memory, Quadword>;
  return &store_elements<Memory, uint32_t>;
}

// Null: no load or store of this type.
Mover mover_of(ptx::Type type, bool loads, int register_bits) {
  using ptx::Type;
  const auto choose = [&]<typename Memory>() {
    return loads ? loader<Memory>(register_bits) : storer<Memory>(register_bits);
  };
  switch (type) {
    case Type::kB8:
    case Type::kU8:
      return choose.operator()<uint8_t>();
    case Type::kS8:
      return choose.operator()<int8_t>();
    case Type::kB16:
    case Type::kU16:
      return choose.operator()<uint16_t>();
    case Type::kS16:
      return choose.operator()<int16_t>();
    case Type::kB32:
    case Type::kU32:
    case Type::kF32:
      return choose.operator()<uint32_t>();
    case Type::kS32:
      return choose.operator()<int32_t>();
    case Type::kB64:
    case Type::kU64:
    case Type::kS64:
    case Type::kF64:
      return choose.operator()<uint64_t>();
    case Type::kB128:
      if (register_bits != 128) return nullptr;
      return loads ? &load_elements<Quadword, Quadword> : &store_elements<Quadword, Quadword>;
    default:
      return nullptr;
  }
}

template <Intent intent>
void transfer(Warp& warp, const Op& op, LaneMask active) {
  const auto& form = form_of<TransferForm>(op);
  Access access(warp, op, active, form.bytes, intent, form.strong);
  access.set_addresses(op.operands[0], form.address.base_bits, op.immediate);
  Places places;
  resolve(form.address.space, access, places);
  form.move(warp, op, form, places, active);
  // Whoever polls must let the other warps write what it waits for.
  if (form.strong && intent == Intent::kRead) warp.yield();
}

// The modifiers that loads and stores share, and the type.
ptx::Type take_form(Decoding& decoding, TransferForm& form) {
  form.num_elements = decoding.take_one<int>({{"v2", 2}, {"v4", 4}}).value_or(1);
  const ptx::Type type = decoding.take_type();
  form.bytes = form.num_elements * ptx::bits_of(type) / 8;
  constexpr int kMostBytes = 16;
  if (form.bytes > kMostBytes) decoding.refuse("more than 16 bytes a thread");
  return type;
}

std::vector<const ptx::Operand*> take_elements(Decoding& decoding, const TransferForm& form) {
  const auto elements = elements_of(decoding.next());
  if (static_cast<int>(elements.size()) != form.num_elements) {
    decoding.refuse("another number of elements than its modifier says");
  }
  return elements;
}

// Of a register of the elements; those of a vector have one width.
int register_bits(Decoding& decoding, const std::vector<const ptx::Operand*>& elements,
                  ptx::Type type) {
  int bits = 0;
  for (const ptx::Operand* element : elements) {
    const ptx::Type declared = decoding.context.register_type(*element);
    if (declared == ptx::Type::kNone) continue;
    const int own = ptx::bits_of(declared);
    if (declared == ptx::Type::kPred || (bits != 0 && own != bits)) {
      decoding.refuse("registers of different widths");
    }
    bits = own;
  }
  return bits != 0 ? bits : ptx::bits_of(type);
}

}  // namespace

void decode_load(Decoding& decoding) {
  TransferForm form;
  form.strong = take_ordering(decoding);
  const ptx::Space space = take_space(decoding);
  const bool has_policy = take_cache_hints(decoding);
  decoding.take("nc");
  const ptx::Type type = take_form(decoding, form);
  const auto elements = take_elements(decoding, form);
  const int bits = register_bits(decoding, elements, type);
  form.address = use_address(decoding, space);
  for (const ptx::Operand* element : elements) {
    const bool sink = element->kind == ptx::OperandKind::kSink;
    decoding.append(sink ? decoding.context.scratch(bits <= 32 ? 4 : bits / 8)
                         : decoding.context.define(*element, type));
  }
  if (has_policy) use_cache_policy(decoding);
  form.move = mover_of(type, true, bits);
  if (form.move == nullptr) decoding.refuse("no load of this type");
  keep_form(decoding, form);
  decoding.set_handler(&transfer<Intent::kRead>);
}

void decode_store(Decoding& decoding) {
  TransferForm form;
  form.strong = take_ordering(decoding);
  const ptx::Space space = take_space(decoding);
  const bool has_policy = take_cache_hints(decoding);
  const ptx::Type type = take_form(decoding, form);
  form.address = use_address(decoding, space);
  if (form.address.space == ptx::Space::kParam || space == ptx::Space::kConst) {
    decoding.refuse("a store into read-only memory");
  }
  const auto elements = take_elements(decoding, form);
  const int bits = register_bits(decoding, elements, type);
  for (const ptx::Operand* element : elements) {
    // A constant among wider registers is as wide as they are.
    const bool widens = bits == 64 && ptx::bits_of(type) < 64;
    decoding.append(decoding.context.use(*element, widens ? ptx::Type::kB64 : type));
  }
  if (has_policy) use_cache_policy(decoding);
  form.move = mover_of(type, false, bits);
  if (form.move == nullptr) decoding.refuse("no store of this type");
  keep_form(decoding, form);
  decoding.set_handler(&transfer<Intent::kWrite>);
}

}  // namespace emulator
