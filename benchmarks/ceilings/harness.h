// What the ceilings programs share: options, timing, and one JSON record a line on stdout.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace ceilings {

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

struct Options {
  double seconds = 0.3;          // each measurement, after its warm-up
  double launch_seconds = 2e-3;  // each launch of it: long beside a launch's cost
  int iterations = 0;  // of the loop in a kernel; if given, there is one launch of so many
  int64_t bytes = int64_t{1} << 30;  // of device memory that is copied or read
  std::string only;                  // measures what has this in its name
};

inline Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--seconds") {
      options.seconds = std::atof(value);
    } else if (name == "--launch-seconds") {
      options.launch_seconds = std::atof(value);
    } else if (name == "--iterations") {
      options.iterations = std::atoi(value);
    } else if (name == "--bytes") {
      options.bytes = std::atoll(value);
    } else if (name == "--only") {
      options.only = value;
    } else {
      std::fprintf(stderr, "no such option: %s\n", name.c_str());
      std::exit(2);
    }
  }
  return options;
}

// Memory on the device, for the life of the program's scope.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)), "cudaMalloc");
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    check(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
          "cudaMemcpy");
  }
  DeviceArray(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* data() const { return data_; }
  std::vector<T> to_host() const {
    std::vector<T> values(size_);
    check(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost),
          "cudaMemcpy");
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t size_;
};

// One line of JSON.
class Record {
 public:
  explicit Record(const std::string& kind) { add_text("record", kind); }
  void add_text(const char* key, const std::string& value) { add_raw(key, '"' + value + '"'); }
  void add(const char* key, double value) { add_raw(key, number(value)); }
  void add(const char* key, const std::vector<double>& values) {
    std::string list;
    for (double value : values) list += (list.empty() ? "" : ",") + number(value);
    add_raw(key, '[' + list + ']');
  }
  void print() const {
    std::printf("{%s}\n", text_.c_str());
    std::fflush(stdout);
  }

 private:
  static std::string number(double value) {
    std::ostringstream stream;
    stream.precision(10);
    stream << value;
    return stream.str();
  }
  void add_raw(const char* key, const std::string& value) {
    text_ += (text_.empty() ? "" : ",") + ('"' + std::string(key) + "\":") + value;
  }
  std::string text_;
};

// Seconds on the system's monotonic clock, which other processes on this machine can read too.
inline double now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

template <class Launch>
double time_launch(Launch launch, int iterations) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  check(cudaEventRecord(begin), "cudaEventRecord");
  launch(iterations);
  check(cudaGetLastError(), "launch");
  check(cudaEventRecord(end), "cudaEventRecord");
  check(cudaEventSynchronize(end), "kernel");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return milliseconds * 1e-3;
}

// Iterations that make a launch take about options.launch_seconds.
template <class Launch>
int calibrate(const Options& options, Launch launch) {
  constexpr int kFirst = 16;
  constexpr int kMost = 1 << 26;
  time_launch(launch, kFirst);  // loads the kernel
  int iterations = kFirst;
  double seconds = time_launch(launch, iterations);
  while (seconds < options.launch_seconds / 2 && iterations < kMost) {
    const double factor = options.launch_seconds / std::max(seconds, 1e-6);
    iterations = static_cast<int>(iterations * std::clamp(factor, 1.5, 8.0));
    seconds = time_launch(launch, iterations);
  }
  return iterations;
}

template <class T>
double median(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  return static_cast<double>(values[values.size() / 2]);
}

// Launches over and over, at first for a third of the time uncounted so that clocks and power
// settle. Adds to the record: begin, end (see now), iterations, seconds of each launch and, given
// `cycles` (a word a CTA, written by the kernel), clk: their median, the SM's clock cycles that a
// launch took.
template <class Launch>
void measure(const Options& options, Record& record, Launch launch,
             const DeviceArray<long long>* cycles = nullptr) {
  const bool once = options.iterations > 0;
  const int iterations = once ? options.iterations : calibrate(options, launch);
  if (!once) {
    const double warm = now() + options.seconds / 3;
    while (now() < warm) time_launch(launch, iterations);
  }
  std::vector<double> seconds, clk;
  const double begin = now();
  do {
    seconds.push_back(time_launch(launch, iterations));
    if (cycles != nullptr) clk.push_back(median(cycles->to_host()));
  } while (!once && now() < begin + options.seconds);
  record.add("begin", begin);
  record.add("end", now());
  record.add("iterations", iterations);
  record.add("seconds", seconds);
  if (cycles != nullptr) record.add("clk", clk);
}

}  // namespace ceilings
