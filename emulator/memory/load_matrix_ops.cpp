// ldmatrix.
#include <bit>
#include <cstring>

#include "memory/memory_decoding.h"
#include "mma/mma.h"

namespace emulator {
namespace {

constexpr int kRowBytes = 16;
constexpr int kRowsOfMatrix = 8;
constexpr int kMostMatrices = 4;

struct MatrixForm {
  AddressForm address;
  int num_matrices = 1;
  bool transposed = false;
};

// Op::operands: base, then a register for each matrix.
void load_matrices(Warp& warp, const Op& op, LaneMask active) {
  const auto& form = form_of<MatrixForm>(op);
  const int num_rows = form.num_matrices * kRowsOfMatrix;
  alignas(64) uint8_t rows[kMostMatrices * kRowsOfMatrix][kRowBytes];
  // Only the first lanes' addresses count; a lane that does not exist gives a row of zeros.
  const LaneMask lanes = active & static_cast<LaneMask>((uint64_t{1} << num_rows) - 1);
  if (lanes != kAllLanes) std::memset(rows, 0, sizeof(rows));
  if (lanes != 0) {
    Access access(warp, op, lanes, kRowBytes, Intent::kRead);
    access.num_matrices = form.num_matrices;
    access.set_addresses(op.operands[0], form.address.base_bits, op.immediate);
    Places places;
    resolve(form.address.space, access, places);
    for_lanes(lanes,
              [&](int lane) { std::memcpy(rows[lane], places.at(lane, kRowBytes), kRowBytes); });
  }
  uint32_t* registers[kMostMatrices];
  for (int i = 0; i < form.num_matrices; ++i) registers[i] = warp.u32(op.operands[1 + i]);
  mma::load_matrix(form.num_matrices, form.transposed, rows, registers);
}

}  // namespace

void decode_load_matrix(Decoding& decoding) {
  if (!decoding.take("sync") || !decoding.take("aligned")) decoding.refuse("not .sync.aligned");
  decoding.require_one<bool>({{"m8n8", true}});
  MatrixForm form;
  form.num_matrices = decoding.require_one<int>({{"x1", 1}, {"x2", 2}, {"x4", 4}});
  form.transposed = decoding.take("trans");
  const ptx::Space space = take_space(decoding);
  if (space != ptx::Space::kShared && space != ptx::Space::kGeneric) {
    decoding.refuse("matrices lie in shared memory");
  }
  if (decoding.take_type() != ptx::Type::kB16) decoding.refuse("elements other than .b16");
  const auto elements = elements_of(decoding.next());
  if (static_cast<int>(elements.size()) != form.num_matrices) {
    decoding.refuse("another number of registers than matrices");
  }
  form.address = use_address(decoding, space);
  for (const ptx::Operand* element : elements) {
    decoding.append(decoding.context.define(*element, ptx::Type::kB32));
  }
  keep_form(decoding, form);
  decoding.set_handler(&load_matrices);
}

}  // namespace emulator
