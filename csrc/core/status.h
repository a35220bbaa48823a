// Status: how the C++ side reports what went wrong. No exception crosses a room; only bindings/
// turns a Status into a Python exception.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace sparse_gemm {

enum class StatusCode : uint8_t {
  kOk,
  kInvalidArgument,  // -> ValueError
  kUnsupported,      // -> sparse_gemm.UnsupportedError
  kOutOfMemory,      // -> MemoryError
  kDevice,           // -> RuntimeError: CUDA reported an error
};

class [[nodiscard]] Status {
 public:
  static Status ok() { return Status(StatusCode::kOk, {}); }
  static Status invalid_argument(std::string message) {
    return Status(StatusCode::kInvalidArgument, std::move(message));
  }
  static Status unsupported(std::string message) {
    return Status(StatusCode::kUnsupported, std::move(message));
  }
  static Status out_of_memory(std::string message) {
    return Status(StatusCode::kOutOfMemory, std::move(message));
  }
  static Status device(std::string message) {
    return Status(StatusCode::kDevice, std::move(message));
  }

  bool is_ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  StatusCode code_;
  std::string message_;
};

}  // namespace sparse_gemm
