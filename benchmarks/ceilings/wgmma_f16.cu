// The ceilings of wgmma in fp16.
#include "wgmma_main.cuh"

int main(int argc, char** argv) {
  return ceilings::wgmma_main<ceilings::DataType::kF16>(argc, argv);
}
