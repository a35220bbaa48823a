#include "execute/launch.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "execute/scheduler.h"
#include "report/findings.h"

namespace emulator {
namespace {

using Clock = std::chrono::steady_clock;

// Instructions that a CTA runs before others have their turn: it may be waiting for one of them.
constexpr int64_t kSliceInstructions = 1 << 20;
constexpr auto kIdlePause = std::chrono::microseconds(100);

// EMULATOR_TIMEOUT: seconds after which a grid counts as deadlocked; unset: never.
Clock::time_point deadline() {
  const char* setting = std::getenv("EMULATOR_TIMEOUT");
  const double seconds = setting == nullptr ? 0 : std::atof(setting);
  if (seconds <= 0) return Clock::time_point::max();
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// The CTAs of one launch, handed out in order to the host threads that run them. As many are
// resident at once as on the device: one that spins is set aside for others, and comes back.
class Grid {
 public:
  explicit Grid(const Launch& launch)
      : launch_(launch),
        num_ctas_(launch.grid.count()),
        max_resident_(
            std::max<int64_t>(1, int64_t{launch.settings.num_sms} * launch.settings.ctas_per_sm)),
        deadline_(deadline()) {}

  // One host thread's work.
  void work(WorkerCounters& counters);
  // To be called when all work has ended: what was printed, what never ended.
  void finish();
  Failure failure() const { return failure_; }

 private:
  std::unique_ptr<Cta> start_next(WorkerCounters& counters);
  void end(Cta& cta, Progress progress);
  Dim3 index_of(uint64_t cta) const;

  const Launch& launch_;
  const uint64_t num_ctas_;
  const int64_t max_resident_;
  const Clock::time_point deadline_;
  std::atomic<uint64_t> num_started_ = 0;
  std::atomic<bool> is_abandoned_ = false;
  std::mutex mutex_;  // of what follows
  int64_t num_resident_ = 0;
  std::map<uint64_t, std::string> outputs_;
  std::vector<std::unique_ptr<Cta>> unfinished_;  // when the time was up
  Failure failure_ = Failure::kNone;
};

Dim3 Grid::index_of(uint64_t cta) const {
  const Dim3& grid = launch_.grid;
  return {static_cast<uint32_t>(cta % grid.x), static_cast<uint32_t>(cta / grid.x % grid.y),
          static_cast<uint32_t>(cta / grid.x / grid.y)};
}

// Null where none is left or none more may be resident.
std::unique_ptr<Cta> Grid::start_next(WorkerCounters& counters) {
  uint64_t next;
  {
    const std::lock_guard lock(mutex_);
    if (num_started_ == num_ctas_ || num_resident_ == max_resident_) return nullptr;
    next = num_started_++;
    ++num_resident_;
  }
  return std::make_unique<Cta>(launch_, index_of(next), launch_.settings.seed, counters);
}

void Grid::end(Cta& cta, Progress progress) {
  const std::lock_guard lock(mutex_);
  --num_resident_;
  if (!cta.output.empty()) outputs_[cta.linear_index()] = std::move(cta.output);
  if (progress == Progress::kFailed) failure_ = cta.failure;
}

void Grid::work(WorkerCounters& counters) {
  // Those set aside; where there is none in an entry, it is a new one's turn.
  std::deque<std::unique_ptr<Cta>> turns(1);
  while (!turns.empty() && !is_abandoned_) {
    std::unique_ptr<Cta> cta = std::move(turns.front());
    turns.pop_front();
    const bool is_turn_of_new = cta == nullptr;
    if (is_turn_of_new) {
      if (num_started_ == num_ctas_) continue;
      cta = start_next(counters);
      if (cta == nullptr) {
        if (turns.empty()) std::this_thread::sleep_for(kIdlePause);
        turns.emplace_back();
        continue;
      }
    }
    const Progress progress = run_slice(*cta, kSliceInstructions);
    if (progress == Progress::kSetAside) {
      turns.push_back(std::move(cta));
      if (is_turn_of_new) turns.emplace_back();
      if (Clock::now() > deadline_) is_abandoned_ = true;
      continue;
    }
    end(*cta, progress);
    if (progress == Progress::kFailed) is_abandoned_ = true;
    if (is_turn_of_new) turns.emplace_front();
  }
  const std::lock_guard lock(mutex_);
  for (std::unique_ptr<Cta>& cta : turns) {
    if (cta != nullptr) unfinished_.push_back(std::move(cta));
  }
}

void Grid::finish() {
  if (!unfinished_.empty() && failure_ == Failure::kNone) {
    failure_ = Failure::kDeadlock;
    std::ranges::sort(unfinished_, {}, [](const auto& cta) { return cta->linear_index(); });
    std::string text = "the grid has not ended within EMULATOR_TIMEOUT:";
    for (const auto& cta : unfinished_) text += "\n  " + describe_warps(*cta);
    report(FindingKind::kDeadlock, site_of(*unfinished_.front()), std::nullopt, text);
  }
  for (const auto& cta : unfinished_) outputs_[cta->linear_index()] = std::move(cta->output);
  for (const auto& [index, text] : outputs_) std::fwrite(text.data(), 1, text.size(), stdout);
}

int num_workers(const Launch& launch) {
  const int wanted = launch.settings.num_host_threads;
  const int available = static_cast<int>(std::thread::hardware_concurrency());
  const uint64_t count = static_cast<uint64_t>(std::max(1, wanted > 0 ? wanted : available));
  return static_cast<int>(std::min(count, launch.grid.count()));
}

}  // namespace

bool run(const Launch& launch, LaunchCounters* counters, Failure* failure) {
  std::vector<WorkerCounters> worker_counters(num_workers(launch));
  for (WorkerCounters& worker : worker_counters) worker.ops.resize(launch.program->ops.size());
  Grid grid(launch);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 1; i < worker_counters.size(); ++i) {
      threads.emplace_back([&grid, &worker = worker_counters[i]] { grid.work(worker); });
    }
    if (!worker_counters.empty()) grid.work(worker_counters.front());
  }
  grid.finish();
  if (counters != nullptr) {
    for (const WorkerCounters& worker : worker_counters) counters->add(worker);
  }
  if (failure != nullptr) *failure = grid.failure();
  return grid.failure() == Failure::kNone;
}

}  // namespace emulator
