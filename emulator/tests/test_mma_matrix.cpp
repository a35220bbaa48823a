// ldmatrix, stmatrix and movmatrix.
#include <cstring>

#include "tests/check.h"
#include "tests/mma_cases.h"

namespace emulator::test {
namespace {

// Row r of matrix i holds 100 * i + 10 * r + column.
void fill(uint8_t (*rows)[16]) {
  for (int row = 0; row < mma::kLanes; ++row) {
    for (int column = 0; column < 8; ++column) {
      const auto value = static_cast<uint16_t>(100 * (row / 8) + 10 * (row % 8) + column);
      std::memcpy(rows[row] + 2 * column, &value, sizeof value);
    }
  }
}

uint32_t pair(int low, int high) {
  return static_cast<uint32_t>(high << 16 | low);
}

void four_lanes_hold_a_row() {
  uint8_t rows[mma::kLanes][16];
  fill(rows);
  Registers d(4);
  mma::load_matrix(4, false, rows, d.data());
  CHECK_EQ(d[0][0], pair(0, 1));
  CHECK_EQ(d[0][3], pair(6, 7));
  CHECK_EQ(d[0][4], pair(10, 11));
  CHECK_EQ(d[2][31], pair(276, 277));
  mma::load_matrix(4, true, rows, d.data());
  CHECK_EQ(d[0][0], pair(0, 10));
  CHECK_EQ(d[0][1], pair(20, 30));
  CHECK_EQ(d[0][4], pair(1, 11));
  CHECK_EQ(d[3][31], pair(367, 377));
}

void fewer_matrices_leave_registers_alone() {
  uint8_t rows[mma::kLanes][16];
  fill(rows);
  Registers d(4);
  d[2][7] = 1234;
  mma::load_matrix(2, false, rows, d.data());
  CHECK_EQ(d[1][0], pair(100, 101));
  CHECK_EQ(d[2][7], 1234);
}

void storing_undoes_loading() {
  for (const bool transposed : {false, true}) {
    uint8_t rows[mma::kLanes][16], back[mma::kLanes][16];
    fill(rows);
    Registers d(4);
    mma::load_matrix(4, transposed, rows, d.data());
    mma::store_matrix(4, transposed, d.inputs(), back);
    CHECK(std::memcmp(rows, back, sizeof rows) == 0);
  }
}

void movmatrix_transposes() {
  uint8_t rows[mma::kLanes][16];
  fill(rows);
  Registers plain(1), transposed(1), moved(1);
  mma::load_matrix(1, false, rows, plain.data());
  mma::load_matrix(1, true, rows, transposed.data());
  mma::transpose_matrix(plain[0].data(), moved[0].data());
  CHECK(moved[0] == transposed[0]);
  mma::transpose_matrix(moved[0].data(), moved[0].data());
  CHECK(moved[0] == plain[0]);
}

}  // namespace
}  // namespace emulator::test

int main() {
  using namespace emulator::test;
  four_lanes_hold_a_row();
  fewer_matrices_leave_registers_alone();
  storing_undoes_loading();
  movmatrix_transposes();
  return summary();
}
