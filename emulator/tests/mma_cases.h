// What the tests of mma/ share: matrices of small integers, packed into the registers of a warp
// with the formulas of mma/fragments.h, and a product of three nested loops.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "mma/fragments.h"
#include "mma/mma.h"
#include "numeric/float16.h"
#include "numeric/float8.h"

namespace emulator::test {

using mma::Accumulator;
using mma::Description;
using mma::Element;

// "mma.sync.aligned.m16n8k16..." as the parser gives it; a selector makes the sparse operands.
inline ptx::Instruction instruction(const std::string& text, int selector = 0) {
  ptx::Instruction result;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (begin == 0) {
      result.opcode = word;
    } else {
      result.modifiers.push_back(word);
    }
    begin = end + 1;
  }
  const bool sparse = text.find(".sp") != std::string::npos;
  result.operands.resize(sparse ? 6 : 4);
  if (sparse) {
    result.operands.back().kind = ptx::OperandKind::kImmediate;
    result.operands.back().value = selector;
  }
  return result;
}

class Matrix {
 public:
  Matrix(int rows, int columns) : columns_(columns), values_(rows * columns) {}
  double& at(int row, int column) { return values_[row * columns_ + column]; }
  double at(int row, int column) const { return values_[row * columns_ + column]; }
  double& at(mma::Position position) { return at(position.row, position.column); }
  double at(mma::Position position) const { return at(position.row, position.column); }
  int rows() const { return static_cast<int>(values_.size()) / columns_; }
  int columns() const { return columns_; }
  std::vector<double>& values() { return values_; }
  bool operator==(const Matrix&) const = default;

 private:
  int columns_;
  std::vector<double> values_;
};

class Registers {
 public:
  explicit Registers(int count) : words_(count) {
    for (auto& words : words_) pointers_.push_back(words.data());
  }
  Registers(const Registers&) = delete;
  Registers& operator=(const Registers&) = delete;

  std::array<uint32_t, mma::kLanes>& operator[](int i) { return words_[i]; }
  int size() const { return static_cast<int>(words_.size()); }
  uint32_t* const* data() const { return pointers_.data(); }
  const uint32_t* const* inputs() const {
    return const_cast<const uint32_t* const*>(pointers_.data());
  }

 private:
  std::vector<std::array<uint32_t, mma::kLanes>> words_;
  std::vector<uint32_t*> pointers_;
};

inline uint32_t encode(Element element, double value) {
  const auto single = static_cast<float>(value);
  switch (element) {
    case Element::kF16:
      return numeric::from_float<numeric::F16>(single);
    case Element::kBF16:
      return numeric::from_float<numeric::BF16>(single);
    case Element::kE4M3:
      return numeric::from_float8<numeric::E4M3>(single);
    case Element::kE5M2:
      return numeric::from_float8<numeric::E5M2>(single);
    case Element::kTF32:
      return std::bit_cast<uint32_t>(single);
    default:
      return static_cast<uint32_t>(static_cast<int32_t>(value)) &
             (0xffffffff >> (32 - mma::bits_of(element)));
  }
}

// Small enough that every sum is exact, whatever the accumulator.
inline double random_value(Element element, std::mt19937& random) {
  const auto between = [&](int low, int high) {
    return static_cast<double>(std::uniform_int_distribution<int>(low, high)(random));
  };
  switch (element) {
    case Element::kS8:
      return between(-128, 127);
    case Element::kU8:
      return between(0, 255);
    case Element::kS4:
      return between(-8, 7);
    case Element::kU4:
      return between(0, 15);
    case Element::kB1:
      return between(0, 1);
    default:
      return between(-4, 4);
  }
}

inline Matrix random_matrix(Element element, int rows, int columns, std::mt19937& random) {
  Matrix result(rows, columns);
  for (double& value : result.values()) value = random_value(element, random);
  return result;
}

inline void pack_a(const Description& description, const Matrix& a, Registers& registers) {
  const int count = mma::elements_per_register(description.a);
  for (int reg = 0; reg < registers.size(); ++reg) {
    for (int lane = 0; lane < mma::kLanes; ++lane) {
      uint32_t word = 0;
      for (int i = 0; i < count; ++i) {
        const auto at = mma::position_in_a(description.a, description.shape.m, lane, reg, i);
        word |= encode(description.a, a.at(at)) << (i * mma::bits_of(description.a));
      }
      registers[reg][lane] = word;
    }
  }
}

inline void pack_b(const Description& description, const Matrix& b, Registers& registers) {
  const int count = mma::elements_per_register(description.b);
  for (int reg = 0; reg < registers.size(); ++reg) {
    for (int lane = 0; lane < mma::kLanes; ++lane) {
      uint32_t word = 0;
      for (int i = 0; i < count; ++i) {
        const auto at = mma::position_in_b(description.b, lane, reg, i);
        word |= encode(description.b, b.at(at)) << (i * mma::bits_of(description.b));
      }
      registers[reg][lane] = word;
    }
  }
}

inline void pack_c(const Description& description, const Matrix& c, Registers& registers) {
  const int per_word = 32 / mma::bits_of(description.c);
  for (int i = 0; i < registers.size() * per_word; ++i) {
    for (int lane = 0; lane < mma::kLanes; ++lane) {
      const double value = c.at(mma::position_in_c(lane, i));
      uint32_t& word = registers[i / per_word][lane];
      if (description.c == Accumulator::kF16) {
        const uint32_t bits = numeric::from_float<numeric::F16>(static_cast<float>(value));
        word = i % 2 == 0 ? bits : word | bits << 16;
      } else if (description.c == Accumulator::kF32) {
        word = std::bit_cast<uint32_t>(static_cast<float>(value));
      } else {
        word = static_cast<uint32_t>(static_cast<int32_t>(value));
      }
    }
  }
}

inline Matrix unpack_d(const Description& description, Registers& registers) {
  Matrix result(description.shape.m, description.shape.n);
  const int per_word = 32 / mma::bits_of(description.d);
  for (int i = 0; i < registers.size() * per_word; ++i) {
    for (int lane = 0; lane < mma::kLanes; ++lane) {
      const uint32_t word = registers[i / per_word][lane];
      double& value = result.at(mma::position_in_c(lane, i));
      if (description.d == Accumulator::kF16) {
        value = numeric::to_float<numeric::F16>(static_cast<uint16_t>(word >> (i % 2 * 16)));
      } else if (description.d == Accumulator::kF32) {
        value = std::bit_cast<float>(word);
      } else {
        value = static_cast<int32_t>(word);
      }
    }
  }
  return result;
}

// A * B + C in plain loops.
inline Matrix product(const Matrix& a, const Matrix& b, const Matrix& c) {
  Matrix result = c;
  for (int row = 0; row < a.rows(); ++row) {
    for (int column = 0; column < b.columns(); ++column) {
      for (int k = 0; k < a.columns(); ++k) {
        result.at(row, column) += a.at(row, k) * b.at(k, column);
      }
    }
  }
  return result;
}

// Runs one instruction on matrices; of sparse A the stored columns.
inline Matrix run(const Description& description, const Matrix& a, const Matrix& b, const Matrix& c,
                  const uint32_t* metadata = nullptr,
                  std::vector<mma::MetadataIssue>* issues = nullptr) {
  Registers ra(description.num_a()), rb(description.num_b()), rc(description.num_c());
  pack_a(description, a, ra);
  pack_b(description, b, rb);
  pack_c(description, c, rc);
  // D over C, as compilers write it.
  mma::execute(description, ra.inputs(), rb.inputs(), rc.inputs(), rc.data(), metadata, issues);
  return unpack_d(description, rc);
}

}  // namespace emulator::test
