#include <algorithm>

#include "execute/barriers.h"
#include "execute/control_flow.h"
#include "execute/launch.h"
#include "execute/scheduler.h"
#include "report/findings.h"

namespace emulator {
namespace {

// A warp runs 1 to kLongestTurn instructions before the next is drawn: short turns show what
// depends on the order of warps, long ones keep a warp's registers in the cache.
constexpr int kLongestTurn = 256;
// What a turn costs that a warp does not use up, so that CTAs whose warps only spin are set aside
// soon.
constexpr int kShortTurnCost = 32;

constexpr uint64_t kMix = 0x9E37'79B9'7F4A'7C15;  // the golden ratio, as in splitmix64

int num_warps(const Launch& launch) {
  return static_cast<int>((launch.block.count() + kWarpLanes - 1) / kWarpLanes);
}

// Lets one warp go on that cannot. False where none can be helped.
bool force_one(Cta& cta) {
  return std::ranges::any_of(cta.warps,
                             [](const auto& warp) { return warp->control().force_sync(); });
}

void report_deadlock(Cta& cta) {
  report(FindingKind::kDeadlock, site_of(cta), std::nullopt,
         "no warp can go on: " + describe_warps(cta));
  cta.failure = Failure::kDeadlock;
}

}  // namespace

Cta::Cta(const Launch& launch_, Dim3 index_, uint64_t seed, WorkerCounters& counters_)
    : launch(launch_),
      index(index_),
      random((seed + 1) * kMix ^ linear_index()),
      counters(counters_),
      clocks(num_warps(launch_)),
      shared(*launch_.program, launch_.dynamic_shared_bytes),
      barriers(std::make_unique<CtaBarriers>()) {
  uint64_t threads = launch.block.count();
  for (int i = 0; threads > 0; ++i) {
    const int lanes = static_cast<int>(std::min<uint64_t>(threads, kWarpLanes));
    warps.push_back(std::make_unique<Warp>(*this, i, kAllLanes >> (kWarpLanes - lanes)));
    threads -= lanes;
  }
}

Cta::~Cta() = default;

Progress run_slice(Cta& cta, int64_t budget) {
  std::vector<WarpControl*> runnable;
  while (budget > 0) {
    runnable.clear();
    bool is_done = true;
    for (const auto& warp : cta.warps) {
      WarpControl& control = warp->control();
      is_done &= control.is_done();
      if (control.is_runnable()) runnable.push_back(&control);
    }
    if (is_done) return Progress::kDone;
    if (runnable.empty()) {
      if (force_one(cta)) continue;
      report_deadlock(cta);
    } else {
      const uint64_t draw = cta.random();
      const int turn = 1 + static_cast<int>(draw % kLongestTurn);
      const int used = runnable[draw / kLongestTurn % runnable.size()]->run(turn);
      cta.steps += used;
      budget -= used + (used < turn ? kShortTurnCost : 0);
    }
    if (cta.failure != Failure::kNone) return Progress::kFailed;
  }
  return Progress::kSetAside;
}

FindingSite site_of(const Cta& cta) {
  const auto first =
      std::ranges::find_if(cta.warps, [](const auto& warp) { return !warp->control().is_done(); });
  return first == cta.warps.end() ? FindingSite{} : (*first)->control().site();
}

std::string describe_warps(const Cta& cta) {
  std::string text = "CTA (" + std::to_string(cta.index.x) + "," + std::to_string(cta.index.y) +
                     "," + std::to_string(cta.index.z) + ")";
  for (const auto& warp : cta.warps) {
    text += "\n    warp " + std::to_string(warp->index()) + ":";
    text += warp->control().is_done() ? " has ended" : warp->control().describe();
  }
  return text;
}

}  // namespace emulator
