// ldmatrix, stmatrix and movmatrix: 8 by 8 matrices of 16-bit elements. A lane holds two neighbours
// of a row in its register, four lanes a row; transposed, two neighbours of a column.
#include <cstring>
#include <utility>

#include "mma/fragments.h"
#include "mma/mma.h"

namespace emulator::mma {

namespace {

using Matrix = uint16_t[kTile][kTile];

// Half a matrix: four of its rows.
typedef uint16_t FourRows __attribute__((vector_size(sizeof(Matrix) / 2)));

template <size_t... i>
void transpose(const FourRows (&from)[2], FourRows (&to)[2], std::index_sequence<i...>) {
  to[0] = __builtin_shufflevector(from[0], from[1], (i % kTile * kTile + i / kTile)...);
  to[1] = __builtin_shufflevector(from[0], from[1], (i % kTile * kTile + i / kTile + kTile / 2)...);
}

// A lane's register is two elements of a row, so a matrix lies in the registers as in memory.
void to_registers(const Matrix& matrix, bool transposed, uint32_t* words) {
  static_assert(sizeof(Matrix) == sizeof(uint32_t) * kLanes);
  if (!transposed) {
    std::memcpy(words, matrix, sizeof(Matrix));
    return;
  }
  FourRows rows[2], columns[2];
  std::memcpy(rows, matrix, sizeof(Matrix));
  transpose(rows, columns, std::make_index_sequence<kTile * kTile / 2>());
  std::memcpy(words, columns, sizeof(Matrix));
}

void from_registers(const uint32_t* words, bool transposed, Matrix& matrix) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const int row = lane / kLanesPerQuad, column = lane % kLanesPerQuad * 2;
    const auto low = static_cast<uint16_t>(words[lane]);
    const auto high = static_cast<uint16_t>(words[lane] >> 16);
    (transposed ? matrix[column][row] : matrix[row][column]) = low;
    (transposed ? matrix[column + 1][row] : matrix[row][column + 1]) = high;
  }
}

}  // namespace

void load_matrix(int num, bool transposed, const uint8_t (*rows)[16], uint32_t* const* d) {
  for (int i = 0; i < num; ++i) {
    Matrix matrix;
    std::memcpy(matrix, rows + i * kTile, sizeof matrix);
    to_registers(matrix, transposed, d[i]);
  }
}

void store_matrix(int num, bool transposed, const uint32_t* const* s, uint8_t (*rows)[16]) {
  for (int i = 0; i < num; ++i) {
    Matrix matrix;
    from_registers(s[i], transposed, matrix);
    std::memcpy(rows + i * kTile, matrix, sizeof matrix);
  }
}

void transpose_matrix(const uint32_t* a, uint32_t* d) {
  Matrix matrix;
  from_registers(a, false, matrix);
  to_registers(matrix, true, d);
}

}  // namespace emulator::mma
