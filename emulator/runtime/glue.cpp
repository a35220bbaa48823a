#include "runtime/glue.h"

#include <algorithm>
#include <cstring>

#include "report/counters.h"
#include "report/findings.h"
#include "runtime/state.h"

int emulatorFindingCount(void) {
  return emulator::num_findings();
}

int emulatorFindingText(int index, char* buffer, size_t size) {
  const std::vector<std::string> texts = emulator::finding_texts();
  if (index < 0 || static_cast<size_t>(index) >= texts.size()) return -1;
  const std::string& text = texts[static_cast<size_t>(index)];
  if (size > 0) {
    const size_t count = std::min(size - 1, text.size());
    std::memcpy(buffer, text.data(), count);
    buffer[count] = '\0';
  }
  return static_cast<int>(text.size());
}

void emulatorClearFindings(void) {
  emulator::clear_findings();
  emulator::clear_sticky_error();
}

void emulatorSetSeed(uint64_t seed) {
  emulator::runtime().seed = seed;
}

int emulatorSuppress(const char* kind, const char* where, const char* reason) {
  if (reason == nullptr || *reason == '\0') return -1;  // a suppression says why
  emulator::suppress(kind, where, reason);
  return 0;
}

int emulatorWriteCounters(const char* path) {
  return emulator::write_counters(path) ? 0 : -1;
}

void emulatorResetCounters(void) {
  emulator::reset_counters();
}
