// mma, mma.sp and movmatrix.
#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "execute/decoder.h"
#include "execute/decoding.h"
#include "execute/lanes.h"
#include "mma/mma.h"
#include "report/findings.h"

namespace emulator {
namespace {

using ptx::Type;

constexpr int kMaxFragment = 8;  // 32-bit registers a lane holds of one matrix
using Fragment = std::array<uint32_t*, kMaxFragment>;
using FragmentWords = std::array<std::array<uint32_t, kWarpLanes>, kMaxFragment>;

// Op::flags
enum Flag : uint32_t {
  kOverwritesSource = 1,  // d shares a register with a source, and is not simply c
};

// One finding and one note of an execution are enough: both are reported once an instruction.
void report_metadata(Warp& warp, const Op& op, const std::vector<mma::MetadataIssue>& issues) {
  const auto site = [&](const mma::MetadataIssue& issue) {
    return FindingSite{&warp, &op, LaneMask{1} << issue.lane};
  };
  const auto harmless = std::ranges::find(issues, true, &mma::MetadataIssue::values_are_zero);
  if (harmless != issues.end()) {
    note(site(*harmless), "a metadata nibble of two zero values is not a meaningful one");
  }
  const auto harmful = std::ranges::find(issues, false, &mma::MetadataIssue::values_are_zero);
  if (harmful == issues.end()) return;
  constexpr char kDigits[] = "0123456789ABCDEF";
  report(FindingKind::kInvalidMetadata, site(*harmful), std::nullopt,
         std::string("metadata nibble 0x") + kDigits[harmful->nibble & 0xF] + " of row " +
             std::to_string(harmful->row) + ", group " + std::to_string(harmful->group) +
             " of the tile is not a meaningful value");
}

// Points `fragment` at the registers of the next operand. Registers of 64 bits are taken apart into
// `copies`, low word first.
void gather(Warp& warp, const int32_t*& operand, int num_words, bool is_wide, Fragment& fragment,
            FragmentWords& copies) {
  if (!is_wide) {
    for (int i = 0; i < num_words; ++i) fragment[i] = warp.u32(*operand++);
    return;
  }
  for (int i = 0; i < num_words; i += 2) {
    const uint64_t* values = warp.u64(*operand++);
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      copies[i][lane] = static_cast<uint32_t>(values[lane]);
      copies[i + 1][lane] = static_cast<uint32_t>(values[lane] >> 32);
    }
    fragment[i] = copies[i].data();
    fragment[i + 1] = copies[i + 1].data();
  }
}

// Gives the active lanes of d's registers what was computed aside.
void scatter(Warp& warp, const int32_t* operand, int num_words, bool is_wide, LaneMask active,
             const FragmentWords& results) {
  if (!is_wide) {
    for (int i = 0; i < num_words; ++i) {
      uint32_t* d = warp.u32(*operand++);
      for_lanes(active, [&](int lane) { d[lane] = results[i][lane]; });
    }
    return;
  }
  for (int i = 0; i < num_words; i += 2) {
    uint64_t* d = warp.u64(*operand++);
    for_lanes(active,
              [&](int lane) { d[lane] = uint64_t{results[i + 1][lane]} << 32 | results[i][lane]; });
  }
}

// Operands: the registers of d, a, b, c, and the metadata of a sparse instruction.
void run_mma(Warp& warp, const Op& op, LaneMask active) {
  const auto& description = *static_cast<const mma::Description*>(op.extra);
  const bool is_wide = description.a == mma::Element::kF64;
  const int num_d = description.num_d();
  const bool aside = is_wide || active != kAllLanes || (op.flags & kOverwritesSource);

  Fragment d, a, b, c;
  FragmentWords copies_a, copies_b, copies_c, results;
  const int32_t* operand = op.operands + (is_wide ? num_d / 2 : num_d);
  gather(warp, operand, description.num_a(), is_wide, a, copies_a);
  gather(warp, operand, description.num_b(), is_wide, b, copies_b);
  gather(warp, operand, description.num_c(), is_wide, c, copies_c);
  const uint32_t* metadata = description.sparse ? warp.u32(*operand) : nullptr;
  for (int i = 0; i < num_d; ++i) d[i] = aside ? results[i].data() : warp.u32(op.operands[i]);

  std::vector<mma::MetadataIssue> issues;
  mma::execute(description, a.data(), b.data(), c.data(), d.data(), metadata, &issues);
  if (!issues.empty()) report_metadata(warp, op, issues);
  if (aside) scatter(warp, op.operands, num_d, is_wide, active, results);
}

// The registers of the next fragment; a fragment of one register may stand without braces.
std::span<const ptx::Operand> next_fragment(Decoding& decoding, size_t num_registers) {
  const ptx::Operand& operand = decoding.next();
  const bool braced = operand.kind == ptx::OperandKind::kVector;
  const std::span<const ptx::Operand> registers =
      braced ? std::span(operand.elements) : std::span(&operand, 1);
  if (registers.size() != num_registers) {
    decoding.refuse("a fragment of " + std::to_string(registers.size()) + " registers, not " +
                    std::to_string(num_registers));
  }
  return registers;
}

void decode_mma(Decoding& decoding) {
  const std::optional<mma::Description> described = mma::describe(decoding.instruction);
  if (!described) decoding.refuse("no such mma");
  for (const std::string& modifier : decoding.instruction.modifiers) decoding.take(modifier);
  const auto description = std::make_shared<const mma::Description>(*described);
  decoding.op.extra = decoding.context.keep(description);
  decoding.op.aligned = true;
  decoding.set_handler(run_mma);

  const bool is_wide = description->a == mma::Element::kF64;
  const Type type = is_wide ? Type::kF64 : Type::kB32;
  const auto offsets = [&](int num_words, auto place) {
    std::vector<int32_t> result;
    const auto num_registers = static_cast<size_t>(is_wide ? num_words / 2 : num_words);
    for (const ptx::Operand& element : next_fragment(decoding, num_registers)) {
      result.push_back(place(element));
      decoding.append(result.back());
    }
    return result;
  };
  const auto use = [&](const ptx::Operand& operand) { return decoding.context.use(operand, type); };
  const std::vector<int32_t> d = offsets(description->num_d(), [&](const ptx::Operand& operand) {
    return decoding.context.define(operand, type);
  });
  std::vector<int32_t> sources = offsets(description->num_a(), use);
  std::ranges::copy(offsets(description->num_b(), use), std::back_inserter(sources));
  const std::vector<int32_t> c = offsets(description->num_c(), use);
  if (description->sparse) {
    sources.push_back(decoding.context.use(decoding.next(), Type::kB32));
    decoding.append(sources.back());
    decoding.constant();  // the selector, which describe() has read
  }
  // c may be d, register by register.
  const bool accumulates = d == c;
  if (!accumulates) std::ranges::copy(c, std::back_inserter(sources));
  const bool overlaps = std::ranges::any_of(
      d, [&](int32_t offset) { return std::ranges::find(sources, offset) != sources.end(); });
  decoding.op.flags = overlaps ? kOverwritesSource : 0u;
}

void run_movmatrix(Warp& warp, const Op& op, LaneMask active) {
  std::array<uint32_t, kWarpLanes> result;
  mma::transpose_matrix(warp.u32(op.operands[1]), result.data());
  uint32_t* d = warp.u32(op.operands[0]);
  for_lanes(active, [&](int lane) { d[lane] = result[lane]; });
}

void decode_movmatrix(Decoding& decoding) {
  for (const char* modifier : {"sync", "aligned", "m8n8", "trans"}) {
    if (!decoding.take(modifier)) decoding.refuse("lacks ." + std::string(modifier));
  }
  if (decoding.take_type() != Type::kB16) decoding.refuse("no such type");
  decoding.op.aligned = true;
  decoding.bind(run_movmatrix, Type::kB32, {Type::kB32});
}

constexpr DecoderEntry kEntries[] = {
    {"mma", decoder<decode_mma>},
    {"movmatrix", decoder<decode_movmatrix>},
};

}  // namespace

std::span<const DecoderEntry> matrix_decoders() {
  return kEntries;
}

}  // namespace emulator
