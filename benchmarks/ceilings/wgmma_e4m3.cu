// The ceilings of wgmma in fp8 (e4m3).
#include "wgmma_main.cuh"

int main(int argc, char** argv) {
  return ceilings::wgmma_main<ceilings::DataType::kE4m3>(argc, argv);
}
