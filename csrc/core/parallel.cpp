// The threads behind parallel_for: the team of torch's OpenMP runtime where there is one, else a
// pool.
//
// Each call of run_tasks is a job that lives on its caller's stack. Helpers take a seat at a job,
// then both they and the caller draw task numbers from its counter until none are left. With the
// pool, the caller never depends on a helper arriving, so a job finishes even if no thread could be
// started; an OpenMP team is waited for as a whole.
#include "core/parallel.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace sparse_gemm {
namespace {

// How long a thread with nothing to do looks for work before it sleeps. About what waking it costs
// (measured on a virtual machine: 40 us between busy cores, over 100 us from an idle one), so that
// looking in vain at most doubles a wait, and calls that follow each other closely find it awake.
constexpr std::chrono::microseconds kSpinTime{100};

// Waits until `is_ready()` or until kSpinTime is over. It yields, so that where there are more
// threads than cores the one that is waited for can run.
template <typename Predicate>
void spin_until(Predicate is_ready) {
  if (is_ready()) return;
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  while (!is_ready() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
}

// GOMP_parallel: calls function(data) on `num_threads` threads, the caller among them, and returns
// when all have. An entry of GCC's OpenMP runtime that LLVM's and Intel's have too.
using OpenMPTeam = void (*)(void (*function)(void*), void* data, unsigned num_threads,
                            unsigned flags);
std::atomic<OpenMPTeam> openmp_team{nullptr};
std::atomic<bool> is_forked_child{false};

struct Job {
  Job(int64_t tasks, int helpers, TaskRef task_body)
      : num_tasks(tasks), seats(helpers), body(task_body) {}

  void work() {
    for (int64_t task; (task = next_task.fetch_add(1, std::memory_order_relaxed)) < num_tasks;) {
      body(task);
    }
  }

  const int64_t num_tasks;
  int seats;  // how many more helpers may join; guarded by the pool's mutex
  const TaskRef body;
  std::atomic<int64_t> next_task{0};
  std::atomic<int> num_active{0};  // helpers at work; written under the pool's mutex
  std::condition_variable idle;    // num_active became zero
  Job* next = nullptr;             // in the pool's list; guarded by its mutex
};

// Blocks asynchronous signals in the threads that are created while it lives: the application
// chose its own threads to handle them. Signals of a crash stay as they are.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t blocked;
    sigfillset(&blocked);
    for (int crash : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) {
      sigdelset(&blocked, crash);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &previous_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t previous_;
};

class Pool {
 public:
  void run(Job& job) {
    {
      std::lock_guard lock(mutex_);
      grow(job.seats);
      job.next = jobs_;
      jobs_ = &job;
      num_posted_.fetch_add(1, std::memory_order_relaxed);
    }
    // One wake-up passes from helper to helper (see help): this call returns after the first.
    work_posted_.notify_one();
    job.work();

    std::unique_lock lock(mutex_);
    unlink(job);
    if (job.num_active == 0) return;
    lock.unlock();
    spin_until([&] { return job.num_active.load(std::memory_order_relaxed) == 0; });
    lock.lock();  // even if it is zero: a helper leaves `job` alone only once it gave up the mutex
    job.idle.wait(lock, [&] { return job.num_active == 0; });
  }

 private:
  // Starts helpers until there are `wanted`, or as many as the system allows.
  void grow(int wanted) {
    if (num_helpers_ >= wanted) return;
    const BlockSignals block_signals;
    try {
      for (; num_helpers_ < wanted; ++num_helpers_) std::thread([this] { help(); }).detach();
    } catch (const std::exception&) {  // no thread, or no memory for its state
      // The caller and the helpers there are do the work.
    }
  }

  // What a helper does, until the process ends.
  [[noreturn]] void help() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (jobs_ == nullptr) await_job(lock);
      Job& job = *jobs_;
      ++job.num_active;
      if (--job.seats == 0) unlink(job);
      const bool has_seats = jobs_ != nullptr;
      lock.unlock();
      if (has_seats) work_posted_.notify_one();
      job.work();
      lock.lock();
      if (--job.num_active == 0) job.idle.notify_one();
      unlink(job);
    }
  }

  void await_job(std::unique_lock<std::mutex>& lock) {
    const uint64_t seen = num_posted_.load(std::memory_order_relaxed);
    lock.unlock();
    spin_until([&] { return num_posted_.load(std::memory_order_relaxed) != seen; });
    lock.lock();
    work_posted_.wait(lock, [&] { return jobs_ != nullptr; });
  }

  // Takes `job` off the list, if it is still on it.
  void unlink(const Job& job) {
    Job** link = &jobs_;
    while (*link != nullptr && *link != &job) link = &(*link)->next;
    if (*link != nullptr) *link = job.next;
  }

  std::mutex mutex_;
  std::condition_variable work_posted_;
  Job* jobs_ = nullptr;                  // those with free seats; guarded by mutex_
  int num_helpers_ = 0;                  // guarded by mutex_
  std::atomic<uint64_t> num_posted_{0};  // lets an idle helper look for work without the mutex
};

// The pool is never destroyed: helpers may sleep in it until the last moment of the process, and a
// thread may still be in run_tasks while the main thread runs exit handlers.
std::atomic<Pool*> pool_of_this_process{nullptr};

// A forked child has none of the helpers, and perhaps a mutex that a thread it does not have holds.
// It forgets the parent's pool without touching it, and the OpenMP runtime, which is in that state.
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] {
  pool_of_this_process.store(nullptr);
  openmp_team.store(nullptr);
  is_forked_child.store(true);
});

Pool& pool() {
  Pool* current = pool_of_this_process.load(std::memory_order_acquire);
  if (current != nullptr) return *current;
  Pool* created = new Pool;
  if (pool_of_this_process.compare_exchange_strong(current, created)) return *created;
  delete created;  // another thread was quicker
  return *current;
}

}  // namespace

void run_tasks(int64_t num_tasks, int num_threads, TaskRef body) {
  const int64_t num_helpers = std::min<int64_t>(num_tasks, num_threads) - 1;
  Job job(num_tasks, static_cast<int>(std::max<int64_t>(num_helpers, 0)), body);
  const OpenMPTeam team = openmp_team.load(std::memory_order_relaxed);
  if (job.seats == 0) {
    job.work();
  } else if (team != nullptr) {
    const auto work = [](void* data) { static_cast<Job*>(data)->work(); };
    // 0: as many threads as torch has set, whatever this job could use. The runtime ends surplus
    // threads when it is asked for a smaller team, and torch's next operation would start them
    // again.
    team(work, &job, /*num_threads=*/0, /*flags=*/0);
  } else {
    pool().run(job);
  }
}

ThreadSource use_openmp_threads() {
  if (!is_forked_child.load()) {
    openmp_team.store(reinterpret_cast<OpenMPTeam>(dlsym(RTLD_DEFAULT, "GOMP_parallel")));
  }
  return thread_source();
}

ThreadSource thread_source() {
  return openmp_team.load() != nullptr ? ThreadSource::kOpenMP : ThreadSource::kPool;
}

}  // namespace sparse_gemm
