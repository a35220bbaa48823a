// parallel_for: runs independent tasks on the calling thread and helpers: a pool of this file's
// own, or the OpenMP threads that torch keeps.
#pragma once

#include <cstdint>
#include <type_traits>

namespace sparse_gemm {

// Non-owning reference to a callable `void(int64_t task)`, so that no std::function is built.
class TaskRef {
 public:
  template <typename F>
    requires(!std::is_same_v<F, TaskRef>)  // copying one must not make a reference to it
  explicit TaskRef(F& f)
      : object_(&f), call_([](void* object, int64_t task) { (*static_cast<F*>(object))(task); }) {}
  void operator()(int64_t task) const { call_(object_, task); }

 private:
  void* object_;
  void (*call_)(void*, int64_t);
};

// Calls `body(task)` once for each task in [0, num_tasks), on at most `num_threads` threads (the
// caller is one of them), and returns when all are done. Which thread runs which task is not
// fixed: tasks must not depend on one another. Several threads may call at once; a child process
// made by fork starts with a pool of its own. `body` must not throw and must not call parallel_for.
void run_tasks(int64_t num_tasks, int num_threads, TaskRef body);

// Where run_tasks gets its helpers from.
enum class ThreadSource : uint8_t {
  kPool,    // threads of its own
  kOpenMP,  // the team of the OpenMP runtime that torch brought along
};

// Looks for an OpenMP runtime in this process and, if one is there, takes helpers from it from now
// on. Its threads keep spinning for a while after each of torch's own operations: a second set of
// threads would wait behind them, and these are awake already. A forked child goes back to kPool,
// as OpenMP runtimes do not survive a fork.
ThreadSource use_openmp_threads();
ThreadSource thread_source();

template <typename F>
void parallel_for(int64_t num_tasks, int num_threads, F&& body) {
  if (num_tasks <= 1 || num_threads <= 1) {
    for (int64_t task = 0; task < num_tasks; ++task) body(task);
    return;
  }
  std::remove_reference_t<F>& f = body;
  run_tasks(num_tasks, num_threads, TaskRef(f));
}

}  // namespace sparse_gemm
