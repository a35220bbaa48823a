#include "core/cost_model.h"

#include <algorithm>
#include <cmath>

#include "core/device_rates.h"
#include "core/pattern.h"

namespace sparse_gemm {
namespace {

constexpr double kSubCores = 4;
constexpr double kSharedBytesPerClock = 128;    // of an SM, reads and fills together
constexpr double kSmPortBytesPerClock = 64;     // what L2 delivers to one SM
constexpr double kDramEfficiency = 0.92;        // of the data sheet's rate, what a copy reaches
constexpr double kL2ShareForReuse = 0.5;        // assumed: of L2, what stays until it is read again
constexpr double kMmaEfficiency = 0.88;         // assumed: random data draws clocks down
constexpr double kLaunchUs = 1.8;               // assumed: until the first CTA's first instruction
constexpr double kDramLatencyUs = 0.7;          // assumed: of the first load
constexpr double kLoadedLatencyUs = 1.0;        // assumed: while DRAM delivers all it can
constexpr double kL2LatencyUs = 0.3;            // assumed
constexpr double kStageLatencyClocks = 130;     // assumed: barrier, ldmatrix, mma.sp, one by one
constexpr double kEpilogueLatencyClocks = 800;  // assumed: barriers, terms read, sectors written
constexpr double kFixUpUs = 1.0;                // assumed: fence, counter, first partial sums read
constexpr int64_t kBandTiles = 16;              // rows of tiles that are multiplied together

constexpr int kStripRows = 16;
constexpr int kOctet = 8;
constexpr int kPanelBytes = 128;  // of K, for each column of B
constexpr double kSumBytes = 4;

// What one stage takes of a CTA, or of the SM that it is on.
struct Stage {
  double a_bytes;
  double b_bytes;
  double l2_bytes;  // of both, what is read
  double mma_clocks;
  double issue_clocks;
  double shared_clocks;

  double fill_bytes() const { return a_bytes + b_bytes; }
};

// Issue slots of a warp where SASS was not counted: each kind of instruction of the main loop.
double estimated_slots(const CudaKernel& kernel, const MultiplyTraits& traits, const Stage& stage) {
  constexpr double kLoopSlots = 24;        // barrier, waits, counters, addresses
  constexpr double kDequantiseSlots = 16;  // for each four registers of A; 8 to 20 by type
  constexpr double kWidenSlots = 8;        // for each octet of columns
  constexpr double kVectorBytes = 16;
  constexpr double kWordBytes = 4;
  const CudaTile& tile = kernel.config->tile;
  const double strips = static_cast<double>(tile.warp_m()) / kStripRows;
  const double octets = static_cast<double>(tile.warp_n()) / kOctet;
  const double mmas = mmas_per_stage(traits);
  const double threads = tile.num_threads();
  double slots = kLoopSlots + strips * octets * mmas + octets * 2 * traits.b_panels +
                 strips * 3 * traits.a_tiles + 1.5 * stage.fill_bytes() / kVectorBytes / threads;
  if (traits.weight_only) slots += strips * mmas * kDequantiseSlots;
  if (kernel.multiply == Multiply::kS4AsS8) slots += octets * kWidenSlots;
  if (kernel.b_load == BLoad::kAny) slots += 2 * stage.b_bytes / kWordBytes / threads;
  return slots;
}

Stage stage_of(const CudaKernel& kernel, const MultiplyTraits& traits, const DeviceRates& rates,
               const Problem& problem) {
  const CudaTile& tile = kernel.config->tile;
  const double warps = tile.num_warps();
  const double slices = tile.warps_k;
  const double busy_sub_cores = std::min(warps, kSubCores);
  const double strip_bytes =
      stage_strip_bytes(traits) + stage_strip_scale_bytes(traits, problem.a.group_size);
  const double mmas =
      static_cast<double>(tile.m) / kStripRows * tile.n / kOctet * mmas_per_stage(traits) * slices;
  Stage stage;
  stage.a_bytes = tile.m / kStripRows * strip_bytes * slices;
  stage.b_bytes = tile.n * kPanelBytes * traits.b_panels * slices;
  const bool skips = kernel.b_load == BLoad::kAny || tile.skips_missing_columns();
  const double columns = skips ? static_cast<double>(std::min<int64_t>(problem.n, tile.n)) : tile.n;
  stage.l2_bytes = stage.a_bytes + stage.b_bytes * columns / tile.n;
  const double reads = stage.a_bytes * tile.warps_n + stage.b_bytes * tile.warps_m;
  const double slots =
      kernel.slots_per_stage > 0 ? kernel.slots_per_stage : estimated_slots(kernel, traits, stage);
  stage.mma_clocks = mmas * rates.mma_clocks / busy_sub_cores;
  stage.issue_clocks = slots * warps / busy_sub_cores;
  stage.shared_clocks = (reads + stage.fill_bytes()) / kSharedBytesPerClock;
  return stage;
}

// The CTAs of the busiest SM: each SM is given CTAs in turn, and earlier CTAs have no less to do.
struct BusiestSm {
  int64_t steps = 0;
  int64_t ctas = 0;
  int64_t tiles_of_cta = 0;  // pieces of tiles count as tiles
};

BusiestSm busiest_sm(const Schedule& schedule, int64_t sm_count) {
  BusiestSm found;
  const auto whole_tiles = [&](int64_t cta) {
    return std::max<int64_t>(ceil_div(schedule.num_whole_tiles - cta, schedule.num_ctas), 0);
  };
  for (int64_t cta = 0; cta < schedule.num_ctas; cta += sm_count) {
    const int64_t run = schedule.run_begin(cta + 1) - schedule.run_begin(cta);
    found.steps += run + whole_tiles(cta) * schedule.num_k_tiles;
    ++found.ctas;
  }
  const int64_t longest_run = schedule.run_begin(1);
  const int64_t run_tiles = longest_run > 0 ? ceil_div(longest_run, schedule.num_k_tiles) : 0;
  found.tiles_of_cta = whole_tiles(0) + run_tiles;
  return found;
}

// Bytes that cross from and to DRAM.
double dram_bytes(const Problem& problem, const CudaProps& props, const CudaTile& tile,
                  const MultiplyTraits& traits, const Stage& stage, int64_t ctas_at_once) {
  const int64_t tiles_m = ceil_div(problem.m, tile.m);
  const int64_t tiles_n = ceil_div(problem.n, tile.n);
  const double stages =
      static_cast<double>(ceil_div(problem.k, int64_t{traits.stage_k} * tile.warps_k));
  const double l2 = kL2ShareForReuse * static_cast<double>(props.l2_bytes);
  const double columns = static_cast<double>(problem.n);
  const double a = static_cast<double>(ceil_div(problem.m, kStripRows)) * stage.a_bytes *
                   kStripRows / tile.m * stages;
  const double b = columns * stage.b_bytes / tile.n * stages;
  const double band = stage.a_bytes * stages * static_cast<double>(std::min(tiles_m, kBandTiles));
  const int64_t band_tiles = std::min(tiles_m, kBandTiles) * tiles_n;
  const double a_passes = band <= l2 ? 1 : static_cast<double>(ceil_div(band_tiles, ctas_at_once));
  const double b_passes = b <= l2 ? 1 : static_cast<double>(ceil_div(tiles_m, kBandTiles));
  const double d = static_cast<double>(problem.m) * columns * bytes_of(problem.d.dtype);
  const bool a_stays = !problem.a.is_batched && a <= l2;
  const double batch = static_cast<double>(problem.batch);
  return a * a_passes * (a_stays ? 1 : batch) + (b * b_passes + d) * batch;
}

// What an SM waits for as many fillings of its rings: a latency for each, the first of which is not
// the main loop's.
double ring_us(double fillings, double latency_us) {
  return std::max(fillings - 1, 0.0) * latency_us;
}

// Partial sums of a tile in `pieces`, written, and read again by the CTA that comes last.
double fix_up_us(double tile_bytes, double pieces, double num_ctas, const DeviceRates& rates,
                 double sm_count) {
  const double sm_clocks = pieces * tile_bytes / kSmPortBytesPerClock;
  const double all_clocks = 2 * tile_bytes * num_ctas / (rates.l2_bytes_per_clock * sm_count);
  return kFixUpUs + std::max(sm_clocks, all_clocks) / rates.clocks_per_us;
}

double fix_up_us(const Schedule& schedule, const CudaTile& tile, const DeviceRates& rates,
                 double sm_count) {
  const int64_t run = schedule.run_begin(1);
  if (schedule.num_shared_tiles() == 0 || run == 0) return 0;
  const bool is_whole =
      run % schedule.num_k_tiles == 0 && schedule.num_shared_steps() % schedule.num_ctas == 0;
  if (is_whole) return 0;
  const double pieces = static_cast<double>(ceil_div(schedule.num_k_tiles, run)) + 1;
  return fix_up_us(kSumBytes * tile.m * tile.n * tile.warps_k, pieces,
                   static_cast<double>(schedule.num_ctas), rates, sm_count);
}

// The usual dense product: its operands read once, its products at the rate that libraries reach,
// and the same fixed costs. Where it has fewer tiles than the device SMs, it takes whichever is
// sooner: tiles whole, read by a part of the SMs, or split along K.
double dense_us(const Problem& problem, const MultiplyTraits& traits, const DeviceRates& rates,
                double sm_count) {
  constexpr int64_t kTile = 64;
  constexpr int64_t kLeastColumns = 32;    // of a library's tile
  constexpr double kOnTheWay = 64 * 1024;  // of an SM; assumed
  const double m = static_cast<double>(problem.m);
  const double n = static_cast<double>(problem.n);
  const double k = static_cast<double>(problem.k);
  const double batch = static_cast<double>(problem.batch);
  const double elem_bytes = bytes_of(traits.weight_only ? traits.b : traits.a);
  const double a_copies = problem.a.is_batched ? batch : 1;
  const double bytes =
      (m * a_copies + n * batch) * k * elem_bytes + m * n * batch * bytes_of(problem.d.dtype);
  const double tiles = std::max(
      static_cast<double>(ceil_div(problem.m, kTile) * ceil_div(problem.n, kTile)) * batch, 1.0);
  const double busy_sms = std::min(tiles, sm_count);
  const double stage_us = kStageLatencyClocks / rates.clocks_per_us;
  const double steps = tiles * k * elem_bytes / kPanelBytes;
  const double read_us = bytes / (rates.dram_bytes_per_us * kDramEfficiency);
  const double whole_us =
      std::max({read_us, ring_us(bytes / busy_sms / kOnTheWay, kLoadedLatencyUs),
                steps / busy_sms * stage_us});
  const double tile_bytes =
      kSumBytes * kTile * static_cast<double>(std::min(round_up(problem.n, kLeastColumns), kTile));
  const double split_us =
      read_us + fix_up_us(tile_bytes, std::max(sm_count / tiles, 2.0), sm_count, rates, sm_count);
  const double multiply_us = m * n * k * batch / rates.dense_products_per_us;
  return kLaunchUs + kDramLatencyUs + kEpilogueLatencyClocks / rates.clocks_per_us +
         std::max(std::min(whole_us, split_us), multiply_us);
}

// One tile's sums through shared memory into D.
double epilogue_us(const Problem& problem, const CudaTile& tile, const DeviceRates& rates) {
  constexpr double kFloatBytes = 4;
  const double elems = static_cast<double>(tile.m) * tile.n;
  const double clocks = kEpilogueLatencyClocks +
                        2 * elems * tile.warps_k * kFloatBytes / kSharedBytesPerClock +
                        elems * bytes_of(problem.d.dtype) / kSmPortBytesPerClock;
  return clocks / rates.clocks_per_us;
}

// What the main loops of a launch ask of the device.
struct Load {
  Stage stage;
  BusiestSm busiest;
  double steps;  // of all CTAs
  double sm_count;
  double resident;     // CTAs at a time of the busiest SM
  double ring_stages;  // that they can have ordered and not yet got
  double dram_bytes;
};

// Fills in what the main loops take by each bound; the longest, in microseconds.
double set_main_loop(const Load& load, const DeviceRates& rates, CudaCost* cost) {
  const double mean_steps = load.steps / load.sm_count;
  const double busiest_steps = static_cast<double>(load.busiest.steps);
  const double share = load.steps > 0 ? busiest_steps / load.steps : 0;
  cost->wave_quantisation = load.steps > 0 ? busiest_steps / mean_steps : 1;
  const auto sm_us = [&](double clocks) { return clocks * mean_steps / rates.clocks_per_us; };
  // A CTA alone takes a stage no sooner than one thing after another.
  const double issue_clocks =
      std::max(load.stage.issue_clocks, kStageLatencyClocks / load.resident);
  const double l2_bytes = load.steps * load.stage.l2_bytes;
  const double l2_rate = rates.l2_bytes_per_clock * load.sm_count * rates.clocks_per_us;
  const double port_rate = kSmPortBytesPerClock * rates.clocks_per_us;
  const double dram_rate = rates.dram_bytes_per_us * kDramEfficiency;
  const double fillings = busiest_steps / load.ring_stages;

  double* const us = cost->main_loop_us;
  us[static_cast<int>(CudaBound::kMma)] = sm_us(load.stage.mma_clocks / kMmaEfficiency);
  us[static_cast<int>(CudaBound::kIssue)] = sm_us(issue_clocks);
  us[static_cast<int>(CudaBound::kShared)] = sm_us(load.stage.shared_clocks);
  us[static_cast<int>(CudaBound::kL2)] =
      std::max({l2_bytes / l2_rate, l2_bytes * share / port_rate, ring_us(fillings, kL2LatencyUs)});
  us[static_cast<int>(CudaBound::kDram)] =
      std::max(load.dram_bytes / dram_rate, ring_us(fillings, kLoadedLatencyUs));

  double longest = 0;
  for (int i = 0; i < kNumCudaBounds; ++i) {
    const bool is_of_sm = i <= static_cast<int>(CudaBound::kShared);
    const double bound_us = us[i] * (is_of_sm ? cost->wave_quantisation : 1);
    if (bound_us > longest) {
      longest = bound_us;
      cost->bound = static_cast<CudaBound>(i);
    }
  }
  return longest;
}

}  // namespace

int resident_ctas(const CudaKernel& kernel, const CudaProps& props) {
  constexpr int64_t kReservedBytes = 1024;  // of each CTA, for CUDA itself
  constexpr int kThreadsPerSm = 1536;       // the least of all generations
  if (!runs_on(kernel, capability_of(props))) return 0;
  if (kernel.shared_bytes > props.shared_memory_per_block) return 0;
  const int max_threads = props.max_threads_per_sm > 0 ? props.max_threads_per_sm : kThreadsPerSm;
  const int64_t by_shared = props.shared_memory_per_sm / (kernel.shared_bytes + kReservedBytes);
  const CudaTile& tile = kernel.config->tile;
  return static_cast<int>(
      std::min<int64_t>({by_shared, tile.ctas_per_sm, max_threads / tile.num_threads()}));
}

CudaCost cost_of(const Problem& problem, const CudaProps& props, const CudaKernel& kernel,
                 const Schedule& schedule) {
  const MultiplyTraits traits = traits_of(kernel.multiply);
  const CudaTile& tile = kernel.config->tile;
  const DeviceRates rates = rates_of(props, kernel.multiply);
  const int64_t sm_count = std::max(props.sm_count, 1);
  CudaCost cost;
  cost.dense_us = dense_us(problem, traits, rates, static_cast<double>(sm_count));
  if (schedule.num_ctas == 0) return cost;

  Load load;
  load.stage = stage_of(kernel, traits, rates, problem);
  load.busiest = busiest_sm(schedule, sm_count);
  load.steps = static_cast<double>(schedule.num_tiles * schedule.num_k_tiles);
  load.sm_count = static_cast<double>(sm_count);
  load.resident =
      static_cast<double>(std::clamp<int64_t>(resident_ctas(kernel, props), 1, load.busiest.ctas));
  load.ring_stages = load.resident * (tile.num_stages - 1);
  const int64_t at_once =
      std::min(schedule.num_ctas, sm_count * static_cast<int64_t>(load.resident));
  load.dram_bytes = dram_bytes(problem, props, tile, traits, load.stage, at_once);
  const double main_loop_us = set_main_loop(load, rates, &cost);

  // While one CTA ends a tile and begins the next, the others of its SM multiply.
  const double between_tiles_us = epilogue_us(problem, tile, rates) + kDramLatencyUs;
  const double tiles = static_cast<double>(load.busiest.tiles_of_cta);
  const double tile_us = main_loop_us / std::max(tiles * load.resident, 1.0);
  const double exposed_us =
      std::max(between_tiles_us - (load.resident - 1) * tile_us, 0.0) / load.resident;
  cost.fixed_us = kLaunchUs + between_tiles_us + std::max(tiles - 1, 0.0) * exposed_us +
                  fix_up_us(schedule, tile, rates, load.sm_count);
  cost.total_us = main_loop_us + cost.fixed_us;
  return cost;
}

}  // namespace sparse_gemm
