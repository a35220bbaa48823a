// mma.sync and mma.sp as pure functions over the registers of one warp.
//
// A register is an array of 32 words, one a lane. Fragment layouts are those of the PTX ISA.
// Accumulation rule: see README.md; products are exact, a dot product of one instruction is summed
// exactly enough that integer-valued data is exact, then rounded once into the accumulator type.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ptx/module.h"

namespace emulator::mma {

enum class Element : uint8_t { kF16, kBF16, kTF32, kF64, kS8, kU8, kS4, kU4, kB1, kE4M3, kE5M2 };
enum class Accumulator : uint8_t { kF16, kF32, kF64, kS32 };

struct Shape {
  int m = 0, n = 0, k = 0;  // k is logical, as in the instruction's name
  bool operator==(const Shape&) const = default;
};

struct Description {
  Shape shape;
  Element a = Element::kF16, b = Element::kF16;
  Accumulator c = Accumulator::kF32, d = Accumulator::kF32;
  bool sparse = false, ordered = false, saturate = false;
  int selector = 0;
  // b1 only: xor or and, then popc.
  bool is_and = false;

  int num_a() const;  // 32-bit registers a lane holds of each operand (f64: two words a value)
  int num_b() const;
  int num_c() const;
  int num_d() const;
};

// From an instruction such as
// mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32; empty where the ISA has
// no such combination (the caller reports it).
std::optional<Description> describe(const ptx::Instruction& instruction);

// What was odd about the metadata of one execution.
struct MetadataIssue {
  int lane;        // that supplied it
  int row, group;  // of the 16-row tile
  int nibble;
  bool values_are_zero;  // both stored values are zero: a note, not a finding
};

// a, b, c, d: arrays of num_x() pointers, each to 32 words. d may alias c. `metadata`: 32 words
// (sparse only). Appends to `issues` unless null; at most one issue a lane.
void execute(const Description& description, const uint32_t* const* a, const uint32_t* const* b,
             const uint32_t* const* c, uint32_t* const* d, const uint32_t* metadata,
             std::vector<MetadataIssue>* issues);

// ldmatrix: lane l's row address has already been read into rows[l] (16 bytes; for .b16 m8n8).
// num = 1, 2 or 4 matrices; d: `num` registers.
void load_matrix(int num, bool transposed, const uint8_t (*rows)[16], uint32_t* const* d);
// stmatrix's inverse: fills rows from registers.
void store_matrix(int num, bool transposed, const uint32_t* const* s, uint8_t (*rows)[16]);
// movmatrix.sync.aligned.m8n8.trans.b16
void transpose_matrix(const uint32_t* a, uint32_t* d);

}  // namespace emulator::mma
