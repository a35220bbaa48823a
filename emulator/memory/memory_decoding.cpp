#include "memory/memory_decoding.h"

namespace emulator {

ptx::Space take_space(Decoding& decoding) {
  using ptx::Space;
  return decoding
      .take_one<Space>({{"global", Space::kGlobal},
                        {"shared", Space::kShared},
                        {"shared::cta", Space::kShared},
                        {"local", Space::kLocal},
                        {"param", Space::kParam},
                        {"param::entry", Space::kParam},
                        {"param::func", Space::kParam},
                        {"const", Space::kConst}})
      .value_or(Space::kGeneric);
}

bool take_ordering(Decoding& decoding) {
  if (decoding.take("volatile")) return true;
  if (decoding.take("weak")) return false;
  decoding.take("mmio");
  const bool ordered =
      decoding
          .take_one<bool>(
              {{"relaxed", true}, {"acquire", true}, {"release", true}, {"acq_rel", true}})
          .has_value();
  // atom and red may have a scope alone.
  decoding.take_one<bool>({{"cta", true}, {"gpu", true}, {"sys", true}});
  return ordered;
}

bool take_cache_hints(Decoding& decoding) {
  decoding.take_one<bool>({{"ca", true},
                           {"cg", true},
                           {"cs", true},
                           {"lu", true},
                           {"cv", true},
                           {"wb", true},
                           {"wt", true}});
  decoding.take_one<bool>({{"L1::evict_normal", true},
                           {"L1::evict_unchanged", true},
                           {"L1::evict_first", true},
                           {"L1::evict_last", true},
                           {"L1::no_allocate", true}});
  const bool has_policy = decoding.take("L2::cache_hint");
  decoding.take_one<bool>({{"L2::64B", true}, {"L2::128B", true}, {"L2::256B", true}});
  return has_policy;
}

void use_cache_policy(Decoding& decoding) {
  decoding.use(ptx::Type::kB64);
}

AddressForm use_address(Decoding& decoding, ptx::Space space) {
  const DecodeContext::Address address = decoding.context.address(decoding.next(), space);
  decoding.append(address.base);
  decoding.op.immediate = address.offset;
  return {address.is_local_param ? ptx::Space::kLocal : space, address.base_bits};
}

std::vector<const ptx::Operand*> elements_of(const ptx::Operand& operand) {
  std::vector<const ptx::Operand*> elements;
  if (operand.kind != ptx::OperandKind::kVector) return {&operand};
  for (const ptx::Operand& element : operand.elements) elements.push_back(&element);
  return elements;
}

int slot_bytes(Decoding& decoding, const ptx::Operand& operand, ptx::Type type) {
  const ptx::Type declared = decoding.context.register_type(operand);
  const int bits = ptx::bits_of(declared == ptx::Type::kNone ? type : declared);
  return bits <= 32 ? 4 : bits / 8;
}

}  // namespace emulator
