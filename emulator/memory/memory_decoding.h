// What the decoders of memory instructions share: spaces, ordering, hints and addresses.
#pragma once

#include "execute/decoding.h"
#include "memory/access.h"

namespace emulator {

// The state space named (.shared::cta is .shared); generic if none is.
ptx::Space take_space(Decoding& decoding);
// .volatile, .relaxed, .acquire... and their scope. True: the access orders threads; false: weak.
bool take_ordering(Decoding& decoding);
// Hints that change no result: .ca, .L1::no_allocate, .L2::128B... True: .L2::cache_hint is there,
// which brings an operand.
bool take_cache_hints(Decoding& decoding);
void use_cache_policy(Decoding& decoding);  // that operand: has no effect

// An address operand: its base goes to Op::operands, its offset to Op::immediate.
struct AddressForm {
  ptx::Space space = ptx::Space::kGeneric;
  int base_bits = 64;
};
AddressForm use_address(Decoding& decoding, ptx::Space space);

// The elements of a vector operand, or the operand itself.
std::vector<const ptx::Operand*> elements_of(const ptx::Operand& operand);
// Bytes a lane of a register operand's place, or of a constant of `type`: 4, 8 or 16.
int slot_bytes(Decoding& decoding, const ptx::Operand& operand, ptx::Type type);

template <typename Form>
const Form& form_of(const Op& op) {
  return *static_cast<const Form*>(op.extra);
}
template <typename Form>
void keep_form(Decoding& decoding, Form form) {
  decoding.op.extra = decoding.context.keep(std::make_shared<const Form>(form));
}

// The families of memory instructions: each in a file of its own.
void decode_load(Decoding& decoding);
void decode_store(Decoding& decoding);
void decode_atomic(Decoding& decoding);
void decode_reduction(Decoding& decoding);
void decode_copy(Decoding& decoding);
void decode_copy_arrival(Decoding& decoding);
void decode_mbarrier(Decoding& decoding);
void decode_load_matrix(Decoding& decoding);

}  // namespace emulator
