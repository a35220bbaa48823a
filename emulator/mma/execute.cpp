// D = A * B + C of one warp.
//
// The accumulation rule. Floating point: products are exact; C and the products along K, ascending,
// are summed in f64, in which products of these types are exact, and the sum is rounded once, to
// nearest even, to D's type. Integers: the sum is exact and wraps, or with .satfinite is clamped,
// once. f64: a chain of fma along K. Devices sum in another order and with other roundings, which
// the ISA leaves open; bits agree where every partial sum is exact, as with integer-valued data.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "mma/fragments.h"
#include "mma/metadata.h"
#include "mma/mma.h"
#include "mma/tiles.h"
#include "numeric/convert.h"
#include "numeric/float16.h"
#include "numeric/rounding.h"

namespace emulator::mma {

namespace {

constexpr int kMaxK = 128;  // of the shapes that are not of single bits
constexpr int kMaxStored = 64;

template <class Number>
struct Operands {
  alignas(64) Number a[kMaxRows * kMaxStored];  // row-major; of sparse A the stored elements
  alignas(64) Number b[kMaxK * kTile];          // row-major
  alignas(64) Number sums[kMaxRows * kTile];    // row-major
};

template <class Number>
void multiply_dense(const Description& description, Operands<Number>& operands) {
  const int k = description.shape.k;
  for (int row = 0; row < description.shape.m; ++row) {
    const Number* a = operands.a + row * k;
    Row<Number> sum = load_row(operands.sums + row * kTile);
    for (int i = 0; i < k; ++i) sum += a[i] * load_row(operands.b + i * kTile);
    store_row(sum, operands.sums + row * kTile);
  }
}

// tf32 keeps one of two: its nibble names halves of the elements, so the first index tells.
template <class Number>
void multiply_one_of_two(const Description& description, const RowMetadata& metadata,
                         Operands<Number>& operands) {
  const int num_groups = description.shape.k / 2;
  for (int row = 0; row < description.shape.m; ++row) {
    const Number* a = operands.a + row * num_groups;
    uint64_t nibbles = metadata[row];
    Row<Number> sum = load_row(operands.sums + row * kTile);
    for (int group = 0; group < num_groups; ++group) {
      const int k = 2 * group + (nibbles >> 1 & 1);
      sum += a[group] * load_row(operands.b + k * kTile);
      nibbles >>= kBitsPerNibble;
    }
    store_row(sum, operands.sums + row * kTile);
  }
}

// Unit: how many neighbours one index names.
template <int Unit, class Number>
void multiply_half(const Description& description, const RowMetadata& metadata,
                   Operands<Number>& operands) {
  const int num_groups = description.shape.k / (4 * Unit);
  for (int row = 0; row < description.shape.m; ++row) {
    const Number* a = operands.a + row * num_groups * 2 * Unit;
    const Number* b = operands.b;
    uint64_t nibbles = metadata[row];
    Row<Number> sum = load_row(operands.sums + row * kTile);
    for (int group = 0; group < num_groups; ++group) {
      for (const uint64_t index : {nibbles & 3, nibbles >> 2 & 3}) {
        for (int i = 0; i < Unit; ++i) {
          sum += *a++ * load_row(b + (index * Unit + i) * kTile);
        }
      }
      b += 4 * Unit * kTile;
      nibbles >>= kBitsPerNibble;
    }
    store_row(sum, operands.sums + row * kTile);
  }
}

// Adds A * B to operands.sums.
template <class Number>
void multiply(const Description& description, const uint32_t* metadata_words,
              std::vector<MetadataIssue>* issues, Operands<Number>& operands) {
  if (!description.sparse) return multiply_dense(description, operands);
  const RowMetadata metadata = gather_metadata(description, metadata_words);
  if (issues && !is_valid(description, metadata)) {
    const auto is_zero = [&](int row, int column) {
      return operands.a[row * stored_k(description) + column] == 0;
    };
    report_invalid(description, metadata, is_zero, *issues);
  }
  switch (group_size(description.a)) {
    case 2:
      return multiply_one_of_two(description, metadata, operands);
    case 4:
      return multiply_half<1>(description, metadata, operands);
    default:
      return multiply_half<2>(description, metadata, operands);
  }
}

template <Element E>
void decode_operand_a(const Description& description, const uint32_t* const* a, NumberOf<E>* out) {
  decode_a<E>(description.shape.m, stored_k(description), description.num_a(), a, out);
}

void decode_operands(const Description& description, const uint32_t* const* a,
                     const uint32_t* const* b, Operands<double>& operands) {
  const int num_b = description.num_b();
  switch (description.a) {
    case Element::kF16:
      decode_operand_a<Element::kF16>(description, a, operands.a);
      return decode_b<Element::kF16>(num_b, b, operands.b);
    case Element::kBF16:
      decode_operand_a<Element::kBF16>(description, a, operands.a);
      return decode_b<Element::kBF16>(num_b, b, operands.b);
    case Element::kTF32:
      decode_operand_a<Element::kTF32>(description, a, operands.a);
      return decode_b<Element::kTF32>(num_b, b, operands.b);
    case Element::kE4M3:
      decode_operand_a<Element::kE4M3>(description, a, operands.a);
      break;
    default:
      decode_operand_a<Element::kE5M2>(description, a, operands.a);
  }
  // Operands of 8 bits may be of different formats.
  description.b == Element::kE4M3 ? decode_b<Element::kE4M3>(num_b, b, operands.b)
                                  : decode_b<Element::kE5M2>(num_b, b, operands.b);
}

void decode_operands(const Description& description, const uint32_t* const* a,
                     const uint32_t* const* b, Operands<int32_t>& operands) {
  const int num_b = description.num_b();
  switch (description.a) {
    case Element::kS8:
      decode_operand_a<Element::kS8>(description, a, operands.a);
      break;
    case Element::kU8:
      decode_operand_a<Element::kU8>(description, a, operands.a);
      break;
    case Element::kS4:
      decode_operand_a<Element::kS4>(description, a, operands.a);
      break;
    default:
      decode_operand_a<Element::kU4>(description, a, operands.a);
  }
  switch (description.b) {
    case Element::kS8:
      return decode_b<Element::kS8>(num_b, b, operands.b);
    case Element::kU8:
      return decode_b<Element::kU8>(num_b, b, operands.b);
    case Element::kS4:
      return decode_b<Element::kS4>(num_b, b, operands.b);
    default:
      return decode_b<Element::kU4>(num_b, b, operands.b);
  }
}

// A tile of C or D: eight rows. Its pairs of neighbours, in lane order, are row-major.

void read_tile(Accumulator type, const uint32_t* const* c, double* sums) {
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < 2; ++i) {
      sums[2 * lane + i] = type == Accumulator::kF32
                               ? double{std::bit_cast<float>(c[i][lane])}
                               : decode<Element::kF16>(c[0][lane] >> (16 * i) & 0xffff);
    }
  }
}

void write_tile(Accumulator type, const double* sums, uint32_t* const* d) {
  using numeric::F16;
  for (int lane = 0; lane < kLanes; ++lane) {
    const double low = sums[2 * lane], high = sums[2 * lane + 1];
    if (type == Accumulator::kF32) {
      d[0][lane] = std::bit_cast<uint32_t>(numeric::narrow<numeric::Rounding::kNearest>(low));
      d[1][lane] = std::bit_cast<uint32_t>(numeric::narrow<numeric::Rounding::kNearest>(high));
    } else {
      d[0][lane] = numeric::pack(numeric::from_double<F16>(high), numeric::from_double<F16>(low));
    }
  }
}

void execute_float(const Description& description, const uint32_t* const* a,
                   const uint32_t* const* b, const uint32_t* const* c, uint32_t* const* d,
                   const uint32_t* metadata, std::vector<MetadataIssue>* issues) {
  Operands<double> operands;
  const int registers_per_tile = description.c == Accumulator::kF32 ? 2 : 1;  // D's are C's
  const int num_tiles = description.shape.m / kTile;
  for (int i = 0; i < num_tiles; ++i) {
    read_tile(description.c, c + i * registers_per_tile, operands.sums + i * kTile * kTile);
  }
  decode_operands(description, a, b, operands);
  multiply(description, metadata, issues, operands);
  for (int i = 0; i < num_tiles; ++i) {
    write_tile(description.d, operands.sums + i * kTile * kTile, d + i * registers_per_tile);
  }
}

int32_t add_integer(bool saturate, int32_t c, int32_t sum) {
  return saturate ? numeric::saturate_integer<int32_t>(int64_t{c} + sum)
                  : static_cast<int32_t>(static_cast<uint32_t>(c) + static_cast<uint32_t>(sum));
}

void write_integers(const Description& description, const int32_t* sums, const uint32_t* const* c,
                    uint32_t* const* d) {
  for (int i = 0; i < description.num_d(); ++i) {
    const int32_t* tile = sums + i / 2 * kTile * kTile;
    for (int lane = 0; lane < kLanes; ++lane) {
      d[i][lane] = static_cast<uint32_t>(add_integer(
          description.saturate, static_cast<int32_t>(c[i][lane]), tile[2 * lane + i % 2]));
    }
  }
}

void execute_integer(const Description& description, const uint32_t* const* a,
                     const uint32_t* const* b, const uint32_t* const* c, uint32_t* const* d,
                     const uint32_t* metadata, std::vector<MetadataIssue>* issues) {
  Operands<int32_t> operands;
  std::fill_n(operands.sums, kMaxRows * kTile, 0);
  decode_operands(description, a, b, operands);
  multiply(description, metadata, issues, operands);
  write_integers(description, operands.sums, c, d);
}

void execute_bits(const Description& description, const uint32_t* const* a,
                  const uint32_t* const* b, const uint32_t* const* c, uint32_t* const* d) {
  int32_t sums[kMaxRows * kTile] = {};
  const int num_words = description.shape.k / 32;
  for (int row = 0; row < description.shape.m; ++row) {
    for (int column = 0; column < kTile; ++column) {
      for (int word = 0; word < num_words; ++word) {
        const int member = word % kLanesPerQuad, step = word / kLanesPerQuad;
        const int tile_rows = description.shape.m / kTile;
        const uint32_t x = a[step * tile_rows + row / kTile][row % kTile * kLanesPerQuad + member];
        const uint32_t y = b[step][column * kLanesPerQuad + member];
        sums[row * kTile + column] += std::popcount(description.is_and ? x & y : x ^ y);
      }
    }
  }
  write_integers(description, sums, c, d);
}

// m8n8k4: a lane holds element (lane / 4, lane % 4) of A and of B transposed. A value takes two
// words, the lower first.
void execute_f64(const uint32_t* const* a, const uint32_t* const* b, const uint32_t* const* c,
                 uint32_t* const* d) {
  const auto value = [](const uint32_t* const* words, int lane) {
    return std::bit_cast<double>(uint64_t{words[1][lane]} << 32 | words[0][lane]);
  };
  double sums[2][kLanes];
  for (int i = 0; i < 2; ++i) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const Position at = position_in_c(lane, i);
      double sum = value(c + 2 * i, lane);
      for (int k = 0; k < kLanesPerQuad; ++k) {
        sum = std::fma(value(a, at.row * kLanesPerQuad + k),
                       value(b, at.column * kLanesPerQuad + k), sum);
      }
      sums[i][lane] = sum;
    }
  }
  for (int i = 0; i < 2; ++i) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const auto bits = std::bit_cast<uint64_t>(sums[i][lane]);
      d[2 * i][lane] = static_cast<uint32_t>(bits);
      d[2 * i + 1][lane] = static_cast<uint32_t>(bits >> 32);
    }
  }
}

}  // namespace

void execute(const Description& description, const uint32_t* const* a, const uint32_t* const* b,
             const uint32_t* const* c, uint32_t* const* d, const uint32_t* metadata,
             std::vector<MetadataIssue>* issues) {
  switch (description.a) {
    case Element::kF64:
      return execute_f64(a, b, c, d);
    case Element::kB1:
      return execute_bits(description, a, b, c, d);
    case Element::kS8:
    case Element::kU8:
    case Element::kS4:
    case Element::kU4:
      return execute_integer(description, a, b, c, d, metadata, issues);
    default:
      return execute_float(description, a, b, c, d, metadata, issues);
  }
}

}  // namespace emulator::mma
