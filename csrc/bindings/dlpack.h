// The part of DLPack's C exchange API (dlpack.h 1.2) by which a library's tensor says what it is:
// https://dmlc.github.io/dlpack/latest/c_api.html. Declared here for what is asked.
#pragma once

#include <cstdint>

namespace sparse_gemm::bindings::dlpack {

inline constexpr uint32_t kMajorVersion = 1;
inline constexpr const char* kCapsuleName = "dlpack_exchange_api";

inline constexpr int32_t kCpu = 1;  // a device's type

// An element type's code.
inline constexpr uint8_t kInt = 0;
inline constexpr uint8_t kFloat = 2;
inline constexpr uint8_t kBfloat = 4;

// A view: memory, shape and strides stay the tensor's own.
struct Tensor {
  void* data;
  int32_t device_type;
  int32_t device_id;
  int32_t ndim;
  uint8_t type_code;
  uint8_t type_bits;
  uint16_t type_lanes;
  const int64_t* shape;
  const int64_t* strides;  // in elements
  uint64_t byte_offset;
};

struct ExchangeApi {
  struct Header {
    uint32_t major;
    uint32_t minor;
    Header* previous;
  };
  using Function = void (*)();

  Header header;
  Function allocate;
  Function managed_from_object;
  Function managed_to_object;
  int (*view)(void* object, Tensor* out);  // 0, or -1 and an exception is set; may be null
  Function current_work_stream;
};

}  // namespace sparse_gemm::bindings::dlpack
