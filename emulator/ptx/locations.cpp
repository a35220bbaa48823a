#include "ptx/locations.h"

namespace emulator::ptx {

LineTable::LineTable() : steps_(1) {}

void LineTable::begin_function(std::string_view name) {
  function_ = name;
  latest_.clear();
}

int LineTable::add(const Step& step) {
  const auto [entry, is_new] = known_.try_emplace(step, static_cast<int>(steps_.size()));
  if (is_new) steps_.push_back(step);
  latest_[step.place] = entry->second;
  return entry->second;
}

int LineTable::locate(const Place& place) {
  return add({.place = place, .function = function_});
}

int LineTable::locate_inlined(const Place& place, std::string_view name_label, int64_t name_offset,
                              const Place& caller) {
  const auto found = latest_.find(caller);
  // A caller that was never located itself is taken to be the kernel.
  const int caller_chain = found == latest_.end() ? locate(caller) : found->second;
  return add({.place = place,
              .name_label = name_label,
              .name_offset = name_offset,
              .caller = caller_chain});
}

std::string LineTable::name_of(const Step& step) const {
  if (step.name_label.empty()) return std::string(step.function);
  const auto label = labels_.find(step.name_label);
  if (label == labels_.end()) return {};
  const size_t start = label->second + step.name_offset;
  return start < strings_.size() ? std::string(strings_.c_str() + start) : std::string();
}

std::vector<Chain> LineTable::finish() const {
  std::vector<Chain> chains(steps_.size());
  // A caller's chain is always the older one, so it is complete already.
  for (size_t i = 1; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    chains[i].push_back({step.place.file, step.place.line, name_of(step)});
    const Chain& callers = chains[step.caller];
    chains[i].insert(chains[i].end(), callers.begin(), callers.end());
  }
  return chains;
}

}  // namespace emulator::ptx
