// call and ret. Parameters are variables in each thread's local memory, copied at either.
#include <algorithm>
#include <bit>
#include <cstring>

#include "execute/control_flow.h"
#include "execute/warp.h"
#include "report/findings.h"

namespace emulator {
namespace {

void copy_variables(Warp& warp, LaneMask lanes, const std::vector<Range>& from,
                    const std::vector<Range>& to) {
  for_lanes(lanes, [&](int lane) {
    std::byte* const local = warp.local(lane);
    for (size_t i = 0; i < to.size(); ++i) {
      std::memcpy(local + to[i].offset, local + from[i].offset, to[i].bytes);
    }
  });
}

bool same_sizes(const std::vector<Range>& a, const std::vector<Range>& b) {
  return std::ranges::equal(a, b, {}, &Range::bytes, &Range::bytes);
}

// The registers of a function: those of 4, 8 and 16 bytes a lane, then predicates.
struct RegisterFile {
  explicit RegisterFile(const FunctionCode& code)
      : code(code),
        vector_bytes(kWarpLanes * (4 * code.num_32 + 8 * code.num_64 + 16 * code.num_128)),
        bytes(vector_bytes + sizeof(LaneMask) * code.num_predicates) {}

  // Copies what belongs to `lanes`.
  void copy(std::byte* to, const std::byte* from, LaneMask lanes) const {
    const auto copy_lanes = [&](int num_registers, size_t bytes_per_lane) {
      for (int i = 0; i < num_registers; ++i) {
        for_lanes(lanes, [&](int lane) {
          std::memcpy(to + lane * bytes_per_lane, from + lane * bytes_per_lane, bytes_per_lane);
        });
        to += kWarpLanes * bytes_per_lane;
        from += kWarpLanes * bytes_per_lane;
      }
    };
    copy_lanes(code.num_32, 4);
    copy_lanes(code.num_64, 8);
    copy_lanes(code.num_128, 16);
    for (int i = 0; i < code.num_predicates; ++i) {
      LaneMask target, source;
      std::memcpy(&target, to + i * sizeof(LaneMask), sizeof(LaneMask));
      std::memcpy(&source, from + i * sizeof(LaneMask), sizeof(LaneMask));
      target = (target & ~lanes) | (source & lanes);
      std::memcpy(to + i * sizeof(LaneMask), &target, sizeof(LaneMask));
    }
  }

  const FunctionCode& code;
  size_t vector_bytes, bytes;
};

}  // namespace

// The innermost join that is a call's return.
int32_t WarpControl::frame_of(int32_t join) const {
  while (join >= 0 && joins_[join].site == nullptr) join = joins_[join].parent;
  return join;
}

bool WarpControl::is_running(int function, const Fragment& fragment) const {
  if (program_.ops[fragment.pc].function == program_.functions[function].function) return true;
  for (int32_t join = frame_of(fragment.join); join >= 0; join = frame_of(joins_[join].parent)) {
    if (joins_[join].site->caller == function) return true;
  }
  return false;
}

// The function that the first of `lanes` calls, and which lanes call the same; -1: no function.
int WarpControl::callee_of(const Op& op, LaneMask lanes, LaneMask& same) const {
  const auto& site = *static_cast<const CallSite*>(op.extra);
  same = lanes;
  if (site.callee >= 0) return site.callee;
  const uint64_t* const pointers = warp_.u64(op.operands[0]);
  const uint64_t pointer = pointers[std::countr_zero(lanes)];
  same = 0;
  for_lanes(lanes, [&](int lane) { same |= LaneMask{pointers[lane] == pointer} << lane; });
  const auto& functions = program_.functions;
  const auto found = std::ranges::find(functions, pointer, &FunctionCode::address);
  const bool fits = found != functions.end() && !found->function->is_entry &&
                    same_sizes(found->parameters, site.arguments) &&
                    same_sizes(found->results, site.results);
  return fits ? static_cast<int>(found - functions.begin()) : -1;
}

void WarpControl::save_frame(Join& join, LaneMask lanes) {
  const FunctionCode& code = program_.functions[join.callee];
  const RegisterFile file(code);
  join.saved = std::make_unique<SavedFrame>();
  join.saved->registers.resize(file.bytes);
  join.saved->local.resize(kWarpLanes * code.local.bytes);
  file.copy(join.saved->registers.data(), warp_.registers(code.registers), lanes);
  for_lanes(lanes, [&](int lane) {
    std::memcpy(join.saved->local.data() + lane * code.local.bytes,
                warp_.local(lane) + code.local.offset, code.local.bytes);
  });
}

void WarpControl::restore_frame(const Join& join, LaneMask lanes) {
  const FunctionCode& code = program_.functions[join.callee];
  RegisterFile(code).copy(warp_.registers(code.registers), join.saved->registers.data(), lanes);
  for_lanes(lanes, [&](int lane) {
    std::memcpy(warp_.local(lane) + code.local.offset,
                join.saved->local.data() + lane * code.local.bytes, code.local.bytes);
  });
}

WarpControl::Next WarpControl::call(int index, const Op& op) {
  const auto& site = *static_cast<const CallSite*>(op.extra);
  const Fragment fragment = fragments_[index];
  const auto fail = [&](FindingKind kind, const char* why) {
    report(kind, {&warp_, &op, fragment.lanes}, std::nullopt, why);
    warp_.cta().failure = Failure::kTrap;
    return Next::kSwitch;
  };
  if (site.builtin != nullptr) {
    site.builtin(warp_, op, site, fragment.lanes);
    ++fragments_[index].pc;
    return warp_.cta().failure == Failure::kNone ? Next::kGoOn : Next::kSwitch;
  }
  LaneMask same;
  const int callee = callee_of(op, fragment.lanes, same);
  if (callee < 0) {
    return fail(FindingKind::kInvalidArgument,
                "a call through a pointer to no function with these parameters");
  }
  const FunctionCode& code = program_.functions[callee];
  if (same != fragment.lanes) {
    // One function at a time; the others come back to this instruction.
    part(index, same, fragment.pc, fragment.pc, fragment.pc + 1);
    return Next::kSwitch;
  }
  const bool is_recursive = is_running(callee, fragment);
  if (is_recursive && code.has_local_variables) {
    return fail(FindingKind::kUnknownInstruction,
                "recursion of a function that has local variables is not emulated");
  }
  const int32_t join = new_join(fragment.lanes, fragment.pc + 1, fragment.join);
  joins_[join].site = &site;
  joins_[join].callee = callee;
  if (is_recursive) save_frame(joins_[join], fragment.lanes);
  copy_variables(warp_, fragment.lanes, site.arguments, code.parameters);
  fragments_[index].pc = code.entry;
  fragments_[index].join = join;
  return Next::kGoOn;
}

WarpControl::Next WarpControl::return_lanes(int index, LaneMask lanes) {
  const Fragment fragment = fragments_[index];
  const int32_t frame = frame_of(fragment.join);
  if (frame < 0) return exit_lanes(index, lanes);
  Join& join = joins_[frame];
  const std::vector<Range>& results = program_.functions[join.callee].results;
  if (join.saved == nullptr) {
    copy_variables(warp_, lanes, results, join.site->results);
  } else {
    // The frame that is restored may hold the variables on either side.
    std::vector<std::byte> kept;
    for_lanes(lanes, [&](int lane) {
      for (const Range& range : results) {
        const std::byte* const value = warp_.local(lane) + range.offset;
        kept.insert(kept.end(), value, value + range.bytes);
      }
    });
    restore_frame(join, lanes);
    const std::byte* next = kept.data();
    for_lanes(lanes, [&](int lane) {
      for (const Range& range : join.site->results) {
        std::memcpy(warp_.local(lane) + range.offset, next, range.bytes);
        next += range.bytes;
      }
    });
  }
  remove_lanes(index, lanes);
  leave_joins(fragment.join, frame, lanes);
  arrive_at_join(frame, lanes);
  return Next::kSwitch;
}

}  // namespace emulator
