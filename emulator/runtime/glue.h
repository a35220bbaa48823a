// For test glue that loads libcudart.so.13 itself: findings, seeds and counters of this process.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
int emulatorFindingCount(void);
// Copies finding `index` (0-terminated, cut to `size`); returns its full length, -1 if there is
// none.
int emulatorFindingText(int index, char* buffer, size_t size);
void emulatorClearFindings(void);
void emulatorSetSeed(uint64_t seed);
int emulatorSuppress(const char* kind, const char* where, const char* reason);
int emulatorWriteCounters(const char* path);  // JSON; 0 on success
void emulatorResetCounters(void);
}
