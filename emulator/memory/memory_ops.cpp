#include <array>

#include "memory/memory_decoding.h"

namespace emulator {
namespace {

void do_nothing(Warp&, const Op&, LaneMask) {}

// Hints to caches, which the emulator does not have. A hint may name memory that does not exist.
void decode_prefetch(Decoding& decoding) {
  const ptx::Space space = take_space(decoding);
  if (space != ptx::Space::kGlobal && space != ptx::Space::kLocal &&
      space != ptx::Space::kGeneric) {
    decoding.refuse("no prefetch from this space");
  }
  decoding.require_one<bool>(
      {{"L1", true}, {"L2", true}, {"L2::evict_last", true}, {"L2::evict_normal", true}});
  use_address(decoding, space);
  decoding.set_handler(&do_nothing);
}

// applypriority and discard. What discard leaves is undefined, so it may be what was there.
void decode_cache_line_hint(Decoding& decoding) {
  const ptx::Space space = take_space(decoding);
  decoding.require_one<bool>({{"L2", true}, {"L2::evict_normal", true}});
  use_address(decoding, space);
  constexpr int64_t kLineBytes = 128;
  if (decoding.constant() != kLineBytes) decoding.refuse("a size other than 128");
  decoding.set_handler(&do_nothing);
}

// Policies are opaque, and nothing here looks into one.
void make_policy(Warp& warp, const Op& op, LaneMask active) {
  uint64_t* policy = warp.u64(op.operands[0]);
  for_lanes(active, [&](int lane) { policy[lane] = 0; });
}

void decode_create_policy(Decoding& decoding) {
  const bool fractional = decoding.take("fractional");
  const bool range = !fractional && decoding.take("range");
  if (!fractional && !range) decoding.refuse("a form other than .fractional and .range");
  if (range) take_space(decoding);
  decoding.require_one<bool>({{"L2::evict_last", true},
                              {"L2::evict_normal", true},
                              {"L2::evict_first", true},
                              {"L2::evict_unchanged", true}});
  decoding.take_one<bool>({{"L2::evict_first", true}, {"L2::evict_unchanged", true}});
  if (decoding.take_type() != ptx::Type::kB64) decoding.refuse("a type other than .b64");
  decoding.define(ptx::Type::kB64);
  if (range) {
    use_address(decoding, ptx::Space::kGlobal);
    decoding.use(ptx::Type::kB32);
    decoding.use(ptx::Type::kB32);
  } else if (decoding.has_next()) {
    decoding.use(ptx::Type::kF32);
  }
  decoding.set_handler(&make_policy);
}

}  // namespace

std::span<const DecoderEntry> memory_decoders() {
  static constexpr auto kEntries = std::to_array<DecoderEntry>({
      {"ld", &decoder<&decode_load>},
      {"ldu", &decoder<&decode_load>},
      {"st", &decoder<&decode_store>},
      {"atom", &decoder<&decode_atomic>},
      {"red", &decoder<&decode_reduction>},
      {"cp", &decoder<&decode_copy>},
      {"mbarrier", &decoder<&decode_mbarrier>},
      {"ldmatrix", &decoder<&decode_load_matrix>},
      {"prefetch", &decoder<&decode_prefetch>},
      {"prefetchu", &decoder<&decode_prefetch>},
      {"applypriority", &decoder<&decode_cache_line_hint>},
      {"discard", &decoder<&decode_cache_line_hint>},
      {"createpolicy", &decoder<&decode_create_policy>},
  });
  return kEntries;
}

}  // namespace emulator
